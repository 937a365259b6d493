"""/subscriptions/new: find podcasts by a site's or feed's address, or by words; none is followed unasked."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import User
from eventstore.domain.identifiers import feed_of_url
from feeds import lookups, sites
from feeds.models import Feed, FetchedDocument
from jobs import documents
from jobs.feeds import fetch_now
from projections import queries
from tests.feeds.known import known_feed
from tests.feeds.origin import Origin, allowed, answer, status_only
from tests.feeds.rows import name_of
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, follow, page_of, show
from tests.web.people import Response, Visitor, text_of
from web import adding

NEW = "/subscriptions/new"
RSS = b"""<rss version="2.0"><channel><title>Slow Radio</title>
<item><title>The last ferry</title><guid>1</guid>
<enclosure url="https://audio.example/1.mp3" type="audio/mpeg"/>
<pubDate>Fri, 20 Nov 2026 06:00:00 GMT</pubDate></item></channel></rss>"""


def url(origin: Origin, path: str) -> str:
    """Return an address with a public host name: feeds on hosts of private networks are shown to nobody."""
    return origin.url(path, host="site.example")


def followed(user: User) -> list[str]:
    bring_up_to_date()
    return [row.rss_source_feed for row in queries.subscriptions(user.pk).rows]


def add(visitor: Visitor, text: str) -> Response:
    return visitor.send(NEW, {"q": text})


def page(visitor: Visitor, q: str = "", **query: str) -> str:
    answer = visitor.get(NEW, {"q": q} if q else query)
    assert answer.status_code == 200
    return text_of(answer)


@pytest.fixture
def origin(settings: Settings) -> Any:
    with Origin() as running, allowed(settings, running):
        yield running


@pytest.fixture
def in_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the worker look at once, without the usual second between two looks."""
    monkeypatch.setattr(sites, "SOONEST", timedelta(0))
    monkeypatch.setattr(lookups, "resolve", lambda host: ("127.0.0.1",))
    monkeypatch.setattr(documents.look, "apply_async", lambda args, **_: documents.look(*args))
    monkeypatch.setattr(fetch_now, "delay", lambda feed_id: fetch_now(feed_id))


def site(*feeds: str) -> bytes:
    link = '<link rel=alternate type=application/rss+xml href="{0}" title="{0}!">'
    links = "".join(link.format(feed) for feed in feeds)
    return f"<!doctype html><title>A site</title>{links}".encode()


@pytest.mark.usefixtures("in_a_moment")
def test_a_site_leads_to_its_feed_which_is_shown_before_it_is_followed(alice: User, origin: Origin) -> None:
    origin.on("/", answer(site("/feed.xml"), content_type="text/html"))
    origin.on("/feed.xml", answer(RSS))
    visitor = Visitor(alice)
    begun = add(visitor, f" {url(origin, '/')} ")
    assert begun["Location"].startswith(f"{NEW}?q=http%3A%2F%2Fsite.example")
    shown = text_of(visitor.get(begun["Location"]))
    assert "Slow Radio" in shown
    assert "The last ferry" in shown
    assert f'action="{page_of(url(origin, "/feed.xml"))}/follow"' in shown
    assert followed(alice) == []
    assert [feed.url for feed in Feed.objects.all()] == [url(origin, "/feed.xml")]
    requests = len(origin.requests)
    add(visitor, url(origin, "/"))
    add(visitor, url(origin, "/feed.xml"))
    assert len(origin.requests) == requests  # the podcast is known already, so nothing is fetched


@pytest.mark.usefixtures("in_a_moment")
def test_of_several_feeds_one_is_chosen(alice: User, origin: Origin) -> None:
    origin.on("/", answer(site("/a.xml", "/b.xml"), content_type="text/html"))
    origin.on("/b.xml", answer(RSS))
    visitor = Visitor(alice)
    add(visitor, url(origin, "/"))
    shown = page(visitor, url(origin, "/"))
    assert "names several feeds" in shown
    assert "/a.xml!" in shown
    assert f'value="{url(origin, "/b.xml")}"' in shown
    assert not Feed.objects.exists()
    add(visitor, url(origin, "/b.xml"))
    assert "Slow Radio" in page(visitor, url(origin, "/b.xml"))


@pytest.mark.usefixtures("in_a_moment")
def test_every_failure_says_what_to_try(alice: User, origin: Origin) -> None:
    origin.on("/page", answer(b"<html>Nothing</html>", content_type="text/html"))
    origin.on("/picture", answer(b"\x89PNG", content_type="image/png"))
    origin.on("/json", answer(b'{"version": "https://jsonfeed.org/version/1"}'))
    origin.on("/mine", status_only(401))
    origin.on("/fault", status_only(500))
    visitor = Visitor(alice)
    expected = {
        "/page": "names no feed",
        "/picture": "names no feed",
        "/json": "RSS or Atom",
        "/mine": "an address of their own",
        "/missing": "complete",
        "/fault": "try again later",
    }
    for path, words in expected.items():
        add(visitor, url(origin, path))
        assert words in page(visitor, url(origin, path)), path
    add(visitor, "http://10.0.0.1/")
    assert "public internet" in page(visitor, "http://10.0.0.1/")
    assert not Feed.objects.exists()


@pytest.mark.usefixtures("in_a_moment")
def test_a_feed_that_is_one_but_cannot_be_read_says_why(alice: User, origin: Origin) -> None:
    origin.on("/", answer(site("/feed.xml"), content_type="text/html"))
    origin.on("/feed.xml", status_only(503))
    visitor = Visitor(alice)
    add(visitor, url(origin, "/"))
    assert "tried again" in page(visitor, url(origin, "/"))


def test_nothing_is_told_before_a_second_and_then_the_page_asks_again(alice: User) -> None:
    visitor, now = Visitor(alice), timezone.now()
    assert "Press the button" in page(visitor, "site.example")
    assert "load, submit" in page(visitor, url="https://site.example/x")
    add(visitor, "site.example")
    sites.look_up("https://site.example/", now)
    shown = page(visitor, "site.example")
    assert 'hx-trigger="every 1s"' in shown
    assert "Looking there" in shown
    url = "https://site.example/"
    assert sites.found(url, now + timedelta(seconds=2)).is_done  # type: ignore[union-attr]
    assert sites.found(url, now + sites.KEPT + timedelta(seconds=2)) is None


def test_what_is_logged_of_a_message_names_no_address(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(documents.look, "apply_async", lambda *args, **options: sent.append(options))
    Visitor(alice).send("/subscriptions/new", {"q": "https://a.example/rss?auth=mPkY3ZcQ0v"})
    assert [options["argsrepr"] for options in sent] == ["(an address)"]


def test_a_worker_that_never_answers_is_a_time_out(stores: None) -> None:
    now = timezone.now()
    assert sites.ask("https://site.example/", now)
    assert not sites.ask("https://site.example/", now + timedelta(seconds=20))
    look = sites.found("https://site.example/", now + sites.PATIENCE)
    assert (look and look.error) == "timeout"
    assert sites.ask("https://site.example/", now + sites.PATIENCE)
    assert "site.example" not in str(FetchedDocument.objects.values())


def test_words_find_what_is_known(alice: User, bob: User) -> None:
    show(1, 1, title="Slow Radio")
    follow(bob, show(2, 1, title="Slow and secret", is_secret=True))
    visitor = Visitor(alice)
    assert add(visitor, "slow rad")["Location"] == f"{NEW}?q=slow+rad"
    shown = page(visitor, "slow")
    assert "Slow Radio" in shown
    assert "Slow and secret" not in shown
    assert "known here" in page(visitor, "nothing like it")


def test_what_a_phone_shares_is_taken_as_an_address(alice: User) -> None:
    show(1, 1, title="Slow Radio")
    visitor = Visitor(alice)
    text = "Listen to this https://show1.example/feed.xml it is good"
    assert "Slow Radio" in page(visitor, title="A page", text=text)
    assert "Slow Radio" in page(visitor, text="slow radio")
    assert Feed.objects.count() == 1


@pytest.mark.usefixtures("in_a_moment")
def test_an_address_that_is_a_secret_is_shown_to_nobody(alice: User, bob: User, origin: Origin) -> None:
    path = "/members/feed?token=0123456789abcdef0123456789abcdef"
    origin.on(path, answer(RSS))
    visitor, secret = Visitor(alice), url(origin, path)
    add(visitor, secret)
    shown = page(visitor, secret)
    assert "looks like a key" in shown
    assert "Slow Radio" not in shown
    assert not Feed.objects.exists()
    follow(bob, known_feed(secret, title="Slow Radio", is_secret=True))
    assert "Slow Radio" not in page(visitor, secret)
    assert "Slow Radio" in page(Visitor(bob), secret)
    visitor.send(f"{page_of(secret)}/follow", {})
    assert followed(alice) == [feed_of_url(secret)]
    assert "token" not in str(FetchedDocument.objects.values())


def test_an_address_that_is_none_says_why_and_stays(alice: User) -> None:
    reasons = {
        "": "This field is required.",
        "ftp://example.org/x": "This is no web address",
        "mailto:a@example.org": "This is no web address",
        "https://a b/": "names no server",
        "https://user:word@example.org/": "cannot be kept safe",
        "https://example.org/" + "x" * 2_040: "at most 2048",
    }
    for text, why in reasons.items():
        answer = add(Visitor(alice), text)
        assert answer.status_code == 400
        assert why in text_of(answer)
        assert f'value="{text}"' in text_of(answer) or not text
        assert 'aria-invalid="true"' in text_of(answer)


def test_nobody_makes_the_server_fetch_without_end(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adding, "LOOKS", 1)
    visitor = Visitor(alice)
    assert add(visitor, "https://one.example/").status_code == 302
    assert add(visitor, "https://one.example/").status_code == 302
    assert add(visitor, "https://two.example/").status_code == 429


def test_texts_of_others_are_text_and_strangers_log_in(alice: User) -> None:
    feed = show(1, 1, title=HOSTILE, description=HOSTILE, author=HOSTILE)
    feed.episodes.update(title=HOSTILE)
    shown = page(Visitor(alice), feed.url)
    assert "<script>alert" not in shown
    assert "<img src=x" not in shown
    assert Visitor().get(NEW, {"url": "https://x.example/"})["Location"].startswith("/users/log_in?next=")
    assert Visitor(alice).post(NEW, {"q": "x.example"}).status_code == 403
    assert name_of(feed) not in followed(alice)
