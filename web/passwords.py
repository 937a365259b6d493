"""Setting a new password: with the old one, or by a link for listeners who have forgotten it."""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth import update_session_auth_hash
from django.contrib.auth.views import PasswordResetConfirmView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import app_login, attempts, mails, sessions
from accounts.addresses import client_address
from accounts.forms import ChangePasswordForm, NewPasswordForm, ResetForm
from accounts.login_limits import too_many
from accounts.models import User
from accounts.pages import private, read_or_post
from accounts.recovery import reset_tokens, user_in_path
from accounts.usernames import username_key
from web.password_attempts import too_many_tries
from web.shortcuts import for_listeners
from web.toasts import tell

# links requested from one client address, and for one name or e-mail address; further
# ones are silently not sent
RESETS = 20
RESETS_FOR_ONE = 3
RESETS_WITHIN = timedelta(hours=1)
# the number of listeners with the same e-mail address who get a link
MOST_SHARING = 5
NEVER_KEPT: Any = private


@sensitive_post_parameters()
@read_or_post
@for_listeners
def password(request: HttpRequest, user: User) -> HttpResponse:
    """Change the password, which ends every other session of the listener."""
    if request.method != "POST":
        return render(request, "web/passwords/password.html", {"form": ChangePasswordForm(user)})
    if refusal := too_many_tries(request, user):
        return refusal
    form = ChangePasswordForm(user, request.POST)
    if not form.is_valid():
        return render(request, "web/passwords/password.html", {"form": form}, status=400)
    form.save()
    update_session_auth_hash(request, user)
    ended = sessions.end_sessions(user.pk, but=request.session.session_key)
    app_login.sign_out_own_password(user.pk)
    mails.order_soon("password", user)
    tell(request, _message(ended))
    return redirect("account")


@require_safe
def well_known(request: HttpRequest) -> HttpResponse:
    """Redirect from the address where password managers look for the page that changes the password."""
    return redirect("password")


@read_or_post
@private
def forgotten(request: HttpRequest) -> HttpResponse:
    """Ask who forgot the password. The answer is the same whoever is named, and takes the same time."""
    if not settings.SENDS_MAIL or request.method != "POST":
        context = {"form": ResetForm(), "sends_mail": settings.SENDS_MAIL}
        return render(request, "web/passwords/forgotten.html", context)
    if wait := attempts.count("reset", client_address(request), RESETS, RESETS_WITHIN):
        return too_many(request, wait)
    form = ResetForm(request.POST)
    if not form.is_valid():
        context = {"form": form, "sends_mail": True}
        return render(request, "web/passwords/forgotten.html", context, status=400)
    for user in _named(form.cleaned_data["who"]) or [None]:
        mails.order("reset", user)
    return redirect("reset_sent")


@require_safe
@private
def sent(request: HttpRequest) -> HttpResponse:
    """Show what to do after a link was requested."""
    return render(request, "web/passwords/sent.html")


class Reset(PasswordResetConfirmView):
    """Sets a new password through a link made by ``accounts.recovery``, which works
    once, and ends every session."""

    http_method_names = ["get", "head", "post"]
    form_class: Any = NewPasswordForm
    token_generator = reset_tokens
    template_name = "web/passwords/reset.html"

    @method_decorator(NEVER_KEPT)
    def dispatch(self, *args: Any, **kwargs: Any) -> Any:
        return super().dispatch(*args, **kwargs)

    def get_user(self, uidb64: str) -> User | None:
        return user_in_path(uidb64)

    def form_valid(self, form: Any) -> HttpResponse:
        super().form_valid(form)
        sessions.end_sessions(form.user.pk)
        app_login.sign_out_own_password(form.user.pk)
        mails.order_soon("password", form.user)
        tell(self.request, _("You have a new password, and are logged out everywhere. Log in with it."))
        return redirect("log_in")

    def form_invalid(self, form: Any) -> HttpResponse:
        return self.render_to_response(self.get_context_data(form=form), status=400)

    def get_success_url(self) -> str:
        return str(settings.LOGIN_URL)

    def render_to_response(self, context: dict[str, Any], **kwargs: Any) -> HttpResponse:
        kwargs.setdefault("status", 200 if context["validlink"] else 404)
        return super().render_to_response(context, **kwargs)


def _named(who: str) -> list[User | None]:
    """Return the listeners whom a name or e-mail address means; nobody if no further link may be sent."""
    by_address = "@" in who
    key = who.casefold() if by_address else username_key(who)
    if attempts.count("reset for", key, RESETS_FOR_ONE, RESETS_WITHIN):
        return []
    if by_address:
        return list(User.objects.filter(email__iexact=who, is_active=True)[:MOST_SHARING])
    try:
        return [User.objects.get_by_natural_key(who)]
    except User.DoesNotExist:
        return []


def _message(ended: int) -> str:
    if not ended:
        return _("You have a new password.")
    words = ngettext(
        "You have a new password, and %(count)s other browser is logged out.",
        "You have a new password, and %(count)s other browsers are logged out.",
        ended,
    )
    return words % {"count": number_format(ended)}
