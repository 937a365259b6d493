"""Rules for every page and form, found through the URL resolver, so that new ones are checked too."""

import re
from collections.abc import Callable, Iterator
from uuid import uuid4

from django.urls import URLPattern, get_resolver
from django.utils import timezone

from accounts import app_log
from accounts.app_log import Entry
from accounts.app_models import AppPassword
from accounts.import_models import ServerImport
from accounts.models import PlayToken, Session, User
from eventstore import log
from eventstore.domain.identifiers import feed_of_url, item_of
from tests.factories import NOW
from tests.web.listing import collection, playlist
from tests.web.people import Visitor, logged_in, text_of
from web.addresses import in_path

OURS = ("accounts", "balados", "web")
# called by feeds' hubs, which have no session
FROM_ELSEWHERE = {"web.websub"}
FEED, ITEM = (in_path(feed_of_url("https://feeds.example.org/show.xml")), in_path(item_of("guid", "")))
# Parameters that name nothing of a listener's own: what the instance knows of podcasts, people by name,
# pictures, and parts of signed links, each kind of which has its own test.
SHARED = {"feed", "item", "slug", "username", "design", "name", "size", "by"} | {"uidb64", "token"}
# by the type of a parameter, a value that belongs to nobody; for other types any text will do
NOBODYS = {
    "UUIDConverter": str(uuid4()),
    "IntConverter": "987654321",
    "FeedConverter": FEED,
    "ItemConverter": ITEM,
}


def _list_of(user: User, route: str) -> str:
    return str((playlist if "playlists" in route else collection)(user))


def _session_of(user: User, route: str) -> str:
    Visitor(user).get("/settings/account")
    return Session.objects.filter(user_id=user.pk)[0].handle


def _token_of(user: User, route: str) -> str:
    return str(PlayToken.objects.issue(user, "Kitchen radio", NOW)[0].pk)


def _password_of(user: User, route: str) -> str:
    return str(AppPassword.objects.issue(user.pk, "AntennaPod", NOW)[0].pk)


def _import_of(user: User, route: str) -> str:
    row = ServerImport.objects.begin(uuid4(), user.pk, "https://x.example", "bob", "", NOW)
    row.cancel(NOW)
    return str(row.pk)


def _event_of(user: User, route: str) -> str:
    playlist(user)
    return log.read_history(log.stream_of(user.pk), limit=1)[0].event_id


def _program_of(user: User, _: str) -> str:
    app_log.note(user.pk, None, "gPodder/3", Entry("signed_in"), timezone.now())
    return app_log.app_of(None, "gPodder/3").removeprefix("a:")


# parameters that name something of a listener, and how to create it
OWNED: dict[str, Callable[[User, str], str]] = {
    "list_id": _list_of,
    "handle": _session_of,
    "token_id": _token_of,
    "password_id": _password_of,
    "program": _program_of,
    "import_id": _import_of,
    "event_id": _event_of,
}


def pages() -> Iterator[URLPattern]:
    """Yield the URL pattern of every page of ours."""
    for entry in get_resolver().url_patterns:
        if str(entry.pattern) in ("admin/", "api/"):
            continue
        for pattern in getattr(entry, "url_patterns", [entry]):
            if isinstance(pattern, URLPattern) and pattern.callback.__module__.startswith(OURS):
                yield pattern


def path_of(pattern: URLPattern, **values: str) -> str:
    """Return an address with ``values`` for its parameters; for others, values that belong to nobody."""
    route = str(pattern.pattern)
    for name, converter in pattern.pattern.converters.items():
        value = values.get(name) or NOBODYS.get(type(converter).__name__, "0" * 24)
        route = re.sub(rf"<(\w+:)?{name}>", value, route)
    return f"/{route}"


def test_there_are_many() -> None:
    found = {str(pattern.pattern) for pattern in pages()}
    assert {"", "users/log_in", "settings/data", "apps", "settings/sessions/<slug:handle>/end"} <= found
    assert len(found) > 50


def test_no_form_is_taken_without_the_token_of_its_page(operator: User, alice: User) -> None:
    visitor, taken = Visitor(alice), []
    visitor.cookies["csrftoken"] = "a" * 32
    for pattern in pages():
        if pattern.callback.__module__ in FROM_ELSEWHERE:
            continue
        path = path_of(pattern)
        for fields in ({}, {"csrfmiddlewaretoken": "b" * 32}):
            response = visitor.post(path, fields)
            if response.status_code != 403 or "The form has expired" not in text_of(response):
                taken.append((path, response.status_code))
    assert taken == []


def test_every_parameter_is_said_to_be_somebodys_or_nobodys() -> None:
    names = {name for pattern in pages() for name in pattern.pattern.converters}
    assert names - SHARED - OWNED.keys() == set(), "say in this file whose it is"


def test_what_is_anothers_is_answered_like_what_is_not_there(alice: User, bob: User) -> None:
    visitor, wrong = logged_in(alice), []
    owned = [pattern for pattern in pages() if pattern.pattern.converters.keys() & OWNED.keys()]
    for pattern in owned:
        (name,) = pattern.pattern.converters.keys() & OWNED.keys()
        theirs = OWNED[name](bob, str(pattern.pattern))
        unknown = NOBODYS.get(type(pattern.pattern.converters[name]).__name__, "0" * 24)
        before = _state()
        for method in (visitor.get, visitor.post):
            answers = [
                method(path_of(pattern, username="Bob", **{name: value})) for value in (theirs, unknown)
            ]
            outcomes = [(answer.status_code, text_of(answer)) for answer in answers]
            if outcomes[0] != outcomes[1] or outcomes[0][0] not in (400, 404, 405):
                wrong.append((pattern.pattern, [status for status, _ in outcomes]))
        assert _state() == before, pattern.pattern
    assert wrong == []
    assert len(owned) > 10


def _state() -> tuple[int, int, int]:
    return log.head(), PlayToken.objects.count(), Session.objects.count()
