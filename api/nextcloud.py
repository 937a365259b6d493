"""Sync as Nextcloud's gpodder app offers it: four calls over ``api/gpodder``, and login flow v2.

An app names no device here: its app password counts as one. The times that it sends may be from its own clock
instead of marks; actions are in capitals, and of all actions only plays are sent to apps.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any, Final
from urllib.parse import parse_qs

from django.http import HttpResponse
from msgspec.structs import replace

from accounts import attempts, login_flow
from accounts.addresses import client_address
from accounts.app_login import EPISODES, SUBSCRIPTIONS
from accounts.models import User
from api.answers import record
from api.errors import ApiError
from api.gpodder import episodes, subscriptions
from api.gpodder.access import Answer, Call, check_rate, encoded, route
from api.gpodder.addresses import Spellings
from api.gpodder.delivery import Action, Writer
from api.gpodder.devices import LONGEST_CAPTION, origin_of, registration
from api.gpodder.objects import absolute
from api.gpodder.urls import patterns
from eventstore.changes import Change
from eventstore.dispatcher import state_of

# What apps check before they log in: a Nextcloud version that has all of this.
VERSION: Final = "30.0.0"
STARTS, POLLS, WITHIN = 10, 150, timedelta(minutes=1)

Handler = Callable[[Call, str], Any]


class Plays(Writer):
    """Writes only plays, with actions in capitals."""

    def of_changes(self, changes: Sequence[Change]) -> Iterator[Action]:
        for action in super().of_changes(changes):
            if action.action == "play":
                action.action, action.device = "PLAY", None
                yield action


def read_subscriptions(call: Call, device: str) -> dict[str, Any]:
    return subscriptions.read_changes(call, device)


def change_subscriptions(call: Call, device: str) -> dict[str, Any]:
    return _timestamp(subscriptions.upload_changes(call, device))


def read_actions(call: Call, device: str) -> Answer:
    return episodes.written(call, Plays(Spellings(call.user_id, device)))


def record_actions(call: Call, device: str) -> dict[str, Any]:
    return _timestamp(episodes.upload(call))


def _timestamp(answer: dict[str, Any]) -> dict[str, Any]:
    """Return only the timestamp: these apps are not told what was left out, which the history shows."""
    return {"timestamp": answer["timestamp"]}


def status(call: Call) -> dict[str, Any]:
    return {
        "installed": True,
        "maintenance": False,
        "needsDbUpgrade": False,
        "version": f"{VERSION}.0",
        "versionstring": VERSION,
        "productname": "Balados",
    }


def user(call: Call) -> dict[str, Any]:
    call.tell("signed_in")
    name = User.objects.get(pk=call.user_id).username
    meta = {"status": "ok", "statuscode": 200, "message": "OK"}
    return {"ocs": {"meta": meta, "data": {"id": name, "display-name": name}}}


def start(call: Call) -> dict[str, Any]:
    """Begin a login flow. Raises ``ApiError`` 429."""
    address = client_address(call.request) or ""
    if (wait := attempts.limited("login-flow", address, STARTS, WITHIN)) is not None:
        raise ApiError(429, "throttled", "Too many log-ins were begun.", int(wait.total_seconds()))
    begun = login_flow.start(call.agent, address, call.now)
    poll = {"token": begun.poll, "endpoint": absolute("/index.php/login/v2/poll")}
    return {"poll": poll, "login": absolute(f"/login/v2/flow/{begun.login}")}


def poll(call: Call) -> Any:
    """Answer a poll; a login that is pending, unknown, denied or expired gets the same answer."""
    token = parse_qs(call.body.decode(errors="replace")).get("token", [""])[0]
    _check_polls(call, token)
    granted = login_flow.fetch(token, call.now)
    if granted is None:
        return HttpResponse(b"[]", status=404, content_type="application/json")
    return encoded(
        {
            "server": absolute(""),
            "loginName": granted.username,
            "appPassword": granted.password,
        }
    )


def _check_polls(call: Call, token: str) -> None:
    """Limit polls by their token if it is a waiting app's: it polls every second, and several apps may share
    one address. Any other poll counts for its address. Raises ``ApiError`` 429."""
    if not login_flow.is_begun(token, call.now):
        check_rate(call.request)
    elif (wait := attempts.limited("login-poll", token, POLLS, WITHIN)) is not None:
        raise ApiError(429, "throttled", "Too many requests.", int(wait.total_seconds()))


def _as_one_app(handler: Handler, topic: str, call: Call) -> Any:
    """Call a handler with the device that the app password stands for. The session opened with an app
    password is ignored, as the password alone identifies the app."""
    assert call.who is not None
    if call.who.password is not None:
        call.who = replace(call.who, session=None)
    call.topic = topic
    device = f"nc-{sha256(call.app.name.encode()).hexdigest()[:12]}"
    call.who = replace(call.who, device=device)
    known = state_of(call.user_id).user.devices.get(device)
    if known is None or not known.is_known:
        caption = "".join(filter(str.isprintable, call.agent)).strip()[:LONGEST_CAPTION]
        record(registration(call, device, caption=caption or device), origin_of(call, device))
    return handler(call, device)


def _view(topic: str, **handlers: Handler) -> Any:
    views: dict[str, Any] = {
        method: partial(_as_one_app, handler, topic) for method, handler in handlers.items()
    }
    return route(**views)


BASE: Final = r"(?:index\.php/)?"
APP: Final = rf"{BASE}apps/gpoddersync"
urlpatterns = patterns(
    {
        rf"{APP}/subscriptions": _view(SUBSCRIPTIONS, get=read_subscriptions),
        rf"{APP}/subscription_change/create": _view(SUBSCRIPTIONS, post=change_subscriptions),
        rf"{APP}/episode_action": _view(EPISODES, get=read_actions),
        rf"{APP}/episode_action/create": _view(EPISODES, post=record_actions),
        rf"{BASE}login/v2": route(is_open=True, post=start),
        rf"{BASE}login/v2/poll": route(is_open=True, is_limited=False, post=poll),
        r"status\.php": route(is_open=True, get=status),
        r"ocs/v[12]\.php/cloud/user": route(get=user),
    }
)
