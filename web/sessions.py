"""The browsers in which a listener is logged in, and logging out of them."""

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from accounts import sessions as browsers
from accounts.models import User
from web.shortcuts import for_listeners
from web.toasts import tell


@require_safe
@for_listeners
def sessions(request: HttpRequest, user: User) -> HttpResponse:
    """Show the browsers that are logged in, this one first."""
    listed = browsers.sessions_of(user.pk, timezone.now())
    own = request.session.session_key
    listed.sort(key=lambda each: each.session_key != own)
    context = {"sessions": [(each, each.session_key == own) for each in listed]}
    return render(request, "web/sessions/sessions.html", context)


@require_POST
@for_listeners
def end(request: HttpRequest, user: User, handle: str) -> HttpResponse:
    """Log one browser out."""
    if not browsers.end_session(user.pk, handle):
        raise Http404
    tell(request, _("That browser is logged out."))
    return redirect("sessions")


@require_POST
@for_listeners
def end_others(request: HttpRequest, user: User) -> HttpResponse:
    """Log out every browser except this one."""
    ended = browsers.end_sessions(user.pk, but=request.session.session_key)
    words = ngettext(
        "%(count)s other browser is logged out.", "%(count)s other browsers are logged out.", ended
    )
    tell(request, words % {"count": number_format(ended)})
    return redirect("sessions")
