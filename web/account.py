"""The settings of an account: its language, whether it goes along with moved podcasts, and erasing it."""

import logging
from datetime import timedelta

from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone, translation
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import attempts, erasure
from accounts.forms import EraseForm
from accounts.guessing import KNOWN_BROWSER, too_many
from accounts.models import User
from accounts.pages import private, read_or_post
from projections.erasure import erase_history
from projections.failures import is_outage
from web.acting import for_listeners
from web.forms import LanguageForm, MovesForm
from web.toasts import tell

logger = logging.getLogger(__name__)

# enough for a forgotten password, too few to guess one
ERASURES = 10
ERASURES_WITHIN = timedelta(hours=1)


@sensitive_post_parameters()
@private
@read_or_post
def account(request: HttpRequest) -> HttpResponse:
    """The user's own account; a POST with the password erases it."""
    user = request.user
    if not isinstance(user, User):
        return redirect_to_login(request.path)
    if request.method != "POST":
        return _page(request, user, EraseForm())
    wait = attempts.count("erase", str(user.pk), ERASURES, ERASURES_WITHIN)
    if wait:
        return too_many(request, wait)
    form = EraseForm(request.POST)
    if form.is_valid() and not user.check_password(form.cleaned_data["password"]):
        form.add_error("password", _("This is not your password."))
    if not form.is_valid():
        return _page(request, user, form, status=400)
    return _erase(request, user)


@require_POST
@for_listeners
def language(request: HttpRequest, user: User) -> HttpResponse:
    """Keep in which language the listener reads the pages; empty is as the browser asks."""
    form = LanguageForm(request.POST)
    if not form.is_valid():
        return _page(request, user, EraseForm(), status=400, language_form=form)
    user.language = form.cleaned_data["language"]
    user.save(update_fields=["language"])
    with translation.override(user.language or translation.get_language_from_request(request)):
        tell(request, _("The pages are in this language now."))
    return redirect("account")


@require_POST
@for_listeners
def moves(request: HttpRequest, user: User) -> HttpResponse:
    """Keep whether the listener's subscriptions go along when a podcast moves to another address."""
    user.follow_moves = "follow_moves" in request.POST
    user.save(update_fields=["follow_moves"])
    if user.follow_moves:
        tell(request, _("You go along when a podcast moves."))
    else:
        tell(request, _("You stay at the old address when a podcast moves."))
    return redirect("account")


def _page(
    request: HttpRequest,
    user: User,
    form: EraseForm,
    status: int = 200,
    language_form: LanguageForm | None = None,
) -> HttpResponse:
    others = User.objects.filter(is_superuser=True, is_active=True).exclude(pk=user.pk)
    shown = {
        "form": form,
        "language_form": language_form or LanguageForm(initial={"language": user.language}),
        "moves_form": MovesForm(initial={"follow_moves": user.follow_moves}),
        "last_administrator": user.is_superuser and not others.exists(),
    }
    return render(request, "web/account.html", shown, status=status)


def _erase(request: HttpRequest, user: User) -> HttpResponse:
    user_id = user.pk
    erasure.begin(user_id, timezone.now())
    logout(request)
    try:
        counts = erasure.complete(user_id, erase_history)
    except Exception as failure:
        if not is_outage(failure):
            raise
        logger.warning("An erasure was interrupted, and goes on later: %s", type(failure).__name__)
        page = render(request, "web/erasing.html")
    else:
        receipt = [(what.rpartition(".")[2].replace("_", " "), count) for what, count in counts.items()]
        page = render(request, "web/erased.html", {"receipt": receipt})
    page.delete_cookie(KNOWN_BROWSER)
    return page
