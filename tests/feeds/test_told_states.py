"""What an app is told of a podcast after each answer of its server, and after it works again."""

from urllib.parse import quote

import pytest
from django.utils import timezone

from eventstore.domain.identifiers import feed_of_url
from feeds import lookups
from feeds.fetch import Limits
from feeds.store import ensure, execute
from jobs import announcing
from tests.api.conftest import phone as phone
from tests.api.devices import Device, document
from tests.feeds.origin import Handler, Origin, answer, hang, raw, redirect, reset, status_only
from tests.feeds.pumping import make_due, pump, show
from tests.projecting import bring_up_to_date

pytestmark = pytest.mark.usefixtures("stores")
HTML = b"<!doctype html><html><body>Welcome</body></html>"
JSON = b'{"version": "https://jsonfeed.org/version/1.1", "items": []}'
LARGE = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
NOTHING = "There is nothing at this address. Failing since"
NO_FEED = "There is no feed at this address, but something else. Failing since"


@pytest.mark.parametrize(
    ("broken", "state", "code", "text"),
    [
        (status_only(401), "stale", "needs_login", "Its server asks for a user name and a password."),
        (status_only(403), "stale", "forbidden", "Its server refuses access to it. Failing since"),
        (status_only(404), "stale", "not_found", NOTHING),
        (status_only(410), "stale", "not_found", NOTHING),
        (
            status_only(429, ("Retry-After", "600")),
            "paused",
            "rate_limited",
            "show.example asked to be left alone until",
        ),
        (status_only(500), "stale", "http_error", "Its server answered with an error. Failing since"),
        (status_only(503), "paused", "rate_limited", "show.example asked to be left alone until"),
        (status_only(204), "stale", "bad_answer", "Its server answered in a way that cannot be used."),
        (answer(HTML, content_type="text/html"), "stale", "not_a_feed", NO_FEED),
        (answer(b""), "stale", "not_a_feed", NO_FEED),
        (answer(JSON), "stale", "unsupported", "It is in a format that is not supported. Failing since"),
        (raw(LARGE, then="hang"), "stale", "too_large", "It is larger than a feed may be. Failing since"),
        (redirect("/feed"), "stale", "too_many_redirects", "Its server redirects too often, or in a circle."),
        (redirect("http://10.0.0.1/"), "stale", "refused", "This server does not fetch from that address."),
        (hang(), "stale", "timeout", "Not reachable since"),
        (reset(), "stale", "unreachable", "Not reachable since"),
        (None, "stale", "unreachable", "Not reachable since"),
    ],
)
def test_each_answer_is_told_and_so_is_the_end_of_it(
    phone: Device,
    origin: Origin,
    monkeypatch: pytest.MonkeyPatch,
    broken: Handler | None,
    state: str,
    code: str,
    text: str,
) -> None:
    """``broken`` is None where the name of the host is gone."""
    monkeypatch.setattr(announcing, "_put", lambda message: None)
    names = {"show.example": ("127.0.0.1",)}
    monkeypatch.setattr(lookups, "resolve", lambda host: names.get(host, ()))
    url = origin.url("/feed", host="show.example")
    phone.sync(subscriptions=[{"rss_source_feed": feed_of_url(url), "subscribed_at": "2026-11-01T00:00:00Z"}])
    bring_up_to_date()
    ensure([feed_of_url(url)], timezone.now())

    def fetched() -> dict[str, object]:
        execute("UPDATE system.feed_hosts SET paused_until = NULL")
        make_due()
        assert pump(limits=Limits(connect_s=0.5, total_s=0.8)) == 1
        found = phone.get(f"subscriptions/{quote(feed_of_url(url), safe='')}/metadata")
        return dict(document(found))

    origin.on("/feed", answer(show(1, 2)))
    assert fetched()["state"] == "ok"
    if broken is None:
        names.clear()
    else:
        origin.on("/feed", broken)
    told = fetched()
    assert told["state"] == state
    assert str(told["state_text"]).startswith(text)
    assert isinstance(told["error"], dict)
    assert told["error"]["code"] == code
    assert (told["title"], told["episode_count"]) == ("Show", 2)
    assert str(told["next_fetch_at"]) > timezone.now().isoformat()
    names["show.example"] = ("127.0.0.1",)
    origin.on("/feed", answer(show(1, 2, 3)))
    told = fetched()
    assert (told["state"], told["error"], told["episode_count"]) == ("ok", None, 3)
