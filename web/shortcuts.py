"""What listeners do on pages: dispatches the same commands as apps do, and restricts pages to listeners."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django_htmx.http import HttpResponseClientRedirect

from accounts.browsers import device_name as device_name
from accounts.models import User
from accounts.pages import is_own_path, private
from eventstore.dispatcher import CommandId, Origin, Outcome, dispatch
from eventstore.domain.messages import Command
from jobs.announcing import announce

P = ParamSpec("P")
Order = TypeVar("Order", bound=Command)


def for_listeners(
    view: Callable[Concatenate[HttpRequest, User, P], HttpResponse],
) -> Callable[Concatenate[HttpRequest, P], HttpResponse]:
    """Decorate a view with personal data: it receives its listener, its response is not cached, and visitors
    who are not logged in are redirected to the login page."""

    @private
    @wraps(view)
    def wrapped(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        user = request.user
        if isinstance(user, User):
            return view(request, user, *args, **kwargs)
        answer = redirect_to_login(request.get_full_path() if request.method == "GET" else "/")
        return HttpResponseClientRedirect(answer.url) if is_partial(request) else answer

    return wrapped


def act(request: HttpRequest, user: User, command: Callable[..., Order], **fields: Any) -> Outcome:
    """Dispatch a command for this listener, as of now. Raises what ``dispatch`` raises."""
    return send(request, command(user_id=user.pk, now=timezone.now(), **fields))


def send(request: HttpRequest, command: Command, command_id: CommandId | None = None) -> Outcome:
    """Dispatch a prepared command, once per command id, and request a fetch of the
    feeds that it starts to follow."""
    outcome = dispatch(command, Origin(device_name=device_name(request)), command_id=command_id)
    announce(outcome.events)
    return outcome


def is_partial(request: HttpRequest, target: str | None = None) -> bool:
    """Whether htmx requests a fragment of the current page, to replace ``target``.

    Links and forms without htmx attributes get whole pages, of which htmx takes the content of ``main``.
    """
    htmx = request.htmx  # type: ignore[attr-defined]
    return bool(htmx) and not htmx.boosted and target in (None, htmx.target)


def came_from(request: HttpRequest, otherwise: str) -> str:
    """Return the page of this site on which a form was sent, from its field ``back``, or ``otherwise``.

    The Referer cannot be used: pages with personal data do not send it.
    """
    wanted = request.POST.get("back", "")
    return wanted if is_own_path(request, wanted) else otherwise
