"""The e-mail address of a listener: set, confirmed by a link, changed, removed."""

from datetime import timedelta

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import attempts, mails
from accounts.forms import EmailForm, OwnerForm
from accounts.login_limits import too_many
from accounts.models import User
from accounts.pages import private, read_or_post
from accounts.recovery import address_tokens, user_in_path
from web.password_attempts import too_many_tries
from web.shortcuts import for_listeners
from web.toasts import tell

# mails that a listener may have sent to addresses not confirmed to be his
LINKS = 5
LINKS_WITHIN = timedelta(hours=1)


@sensitive_post_parameters()
@read_or_post
@for_listeners
def email(request: HttpRequest, user: User) -> HttpResponse:
    """Show the address; a POST sets another one, or removes it if ``remove`` is sent."""
    if not settings.SENDS_MAIL and not (user.email or user.new_email):
        return _page(request, user, None)
    if request.method != "POST":
        return _page(request, user, EmailForm(user, initial={"email": user.new_email or user.email}))
    if refusal := too_many_tries(request, user):
        return refusal
    if "remove" in request.POST:
        return _remove(request, user)
    form = EmailForm(user, request.POST)
    if not form.is_valid():
        return _page(request, user, form, status=400)
    return _give(request, user, form.cleaned_data["email"])


@require_POST
@for_listeners
def again(request: HttpRequest, user: User) -> HttpResponse:
    """Send the link again."""
    if not user.new_email:
        return redirect("email")
    return _send_link(request, user)


@read_or_post
@private
def confirm(request: HttpRequest, uidb64: str, token: str) -> HttpResponse:
    """Open the confirmation link. A GET only asks for confirmation, since programs
    that scan mails follow links."""
    user = user_in_path(uidb64)
    if user is None or not user.new_email or not address_tokens.check_token(user, token):
        return render(request, "web/emails/expired.html", status=404)
    if request.method != "POST":
        return render(request, "web/emails/confirm.html", {"listener": user})
    _replace(user, user.new_email)
    tell(request, _("Your e-mail address is confirmed."))
    return redirect("email" if request.user == user else "home")


def _give(request: HttpRequest, user: User, address: str) -> HttpResponse:
    if not settings.SENDS_MAIL:
        raise Http404
    if address == user.email:
        user.new_email = ""
        user.save(update_fields=["new_email"])
        return redirect("email")
    user.new_email = address
    user.save(update_fields=["new_email"])
    return _send_link(request, user)


def _remove(request: HttpRequest, user: User) -> HttpResponse:
    form = OwnerForm(user, request.POST)
    if not form.is_valid():
        shown = EmailForm(user, {**request.POST.dict(), "email": request.POST.get("email") or user.email})
        return _page(request, user, shown, status=400)
    _replace(user, "")
    tell(request, _("Your e-mail address is gone from this server."))
    return redirect("email")


def _replace(user: User, address: str) -> None:
    """Set another address, or none; a mail informs the previous one."""
    if user.email and user.email != address:
        user.old_email = user.email
    user.email, user.new_email = address, ""
    user.save(update_fields=["email", "new_email", "old_email"])
    if user.old_email:
        mails.order_soon("moved", user)


def _send_link(request: HttpRequest, user: User) -> HttpResponse:
    if wait := attempts.count("address", str(user.pk), LINKS, LINKS_WITHIN):
        return too_many(request, wait)
    mails.order("confirm", user)
    tell(request, _("A link is on its way to %(address)s.") % {"address": user.new_email})
    return redirect("email")


def _page(request: HttpRequest, user: User, form: EmailForm | None, status: int = 200) -> HttpResponse:
    shown = {"form": form, "sends_mail": settings.SENDS_MAIL, "new_email": user.new_email}
    return render(request, "web/emails/email.html", shown, status=status)
