"""Podcasts in the admin: what operators add to them, the state of their feeds, and the actions on them."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from eventstore import marks
from eventstore.domain.identifiers import feed_of_url
from feeds.merges import merge
from feeds.models import EnrichedPodcast, Feed, FeedMove, FeedSchedule
from tests.factories import HelperFactory, OperatorFactory
from tests.feeds.known import known_as, known_episode, known_feed
from tests.feeds.rows import alias_key
from tests.web.people import logged_in, text_of

pytestmark = pytest.mark.usefixtures("stores")
FEEDS, ENRICHED = "/admin/feeds/feed/", "/admin/feeds/enrichedpodcast/"
URL = "https://example.org/1.xml"
SECRET = "https://www.patreon.com/rss/show?auth=s3cr3t-key"
GOOD = {
    "url": "HTTPS://Example.org/1.xml",
    "slug": "slow-radio",
    "color": "#2F6F4E",
    "links": "https://slow.example/ Its own site\n\nhttps://give.example/",
    "note": "Worth an evening.",
    "featured": "on",
}


@pytest.fixture
def olivia() -> Client:
    """The browser of the operator, who is logged in."""
    return logged_in(OperatorFactory.create())


def act(client: Client, action: str, *feeds: Feed, **more: Any) -> str:
    """Run an action that has been confirmed; return the text of the page that follows."""
    data = {"action": action, "_selected_action": [feed.pk for feed in feeds], "confirmed": "yes", **more}
    return text_of(client.post(FEEDS, data, follow=True))


def blocked(url: str) -> list[bool]:
    return [mark.blocked for mark in marks.feed_marks(alias_key(url)) if mark.marked_by == "operator"]


def test_a_podcast_is_given_a_slug_a_color_links_and_a_note(olivia: Client) -> None:
    assert olivia.post(f"{ENRICHED}add/", GOOD).status_code == 302
    made = EnrichedPodcast.objects.get()
    assert (made.feed_key, made.url, made.color) == (alias_key(URL), URL, "#2f6f4e")
    assert made.links == [
        {"url": "https://slow.example/", "title": "Its own site"},
        {"url": "https://give.example/", "title": "https://give.example/"},
    ]
    page = f"{ENRICHED}{made.pk}/change/"
    assert "https://slow.example/ Its own site\nhttps://give.example/" in text_of(olivia.get(page))
    changed = {**GOOD, "slug": "slower-radio", "featured": "", "url": "https://example.org/2.xml"}
    assert olivia.post(page, changed).status_code == 302
    made.refresh_from_db()
    assert (made.slug, made.featured, made.url) == ("slower-radio", False, URL)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("url", "ftp://example.org/feed", "Not a feed: not an absolute http or https URL."),
        ("url", SECRET, "This address is a key to the feed"),
        ("slug", "slow radio", "Enter a valid “slug”"),
        ("slug", "taken", "already exists"),
        ("color", "green", "Red, green and blue in hexadecimal"),
        ("links", "https://slow.example/\njavascript:alert(1) Here", "Line 2: an http or https address"),
        ("links", "https://slow.example/\n" * 21, "At most 20 links."),
    ],
)
def test_what_cannot_be_is_refused_beside_its_field(
    olivia: Client, field: str, value: str, message: str
) -> None:
    taken = "https://example.org/taken.xml"
    EnrichedPodcast.objects.create(feed_key=alias_key(taken), url=taken, slug="taken")
    answer = olivia.post(f"{ENRICHED}add/", {**GOOD, field: value})
    assert answer.status_code == 200
    assert message in text_of(answer)
    assert EnrichedPodcast.objects.count() == 1


def test_it_is_seen_how_a_feed_fares(olivia: Client) -> None:
    since = timezone.now() - timedelta(days=3)
    feed = known_feed(
        URL, title="<b>Slow</b>", state="failing", error="timeout", error_since=since, followers=7
    )
    known_as(feed, "https://old.example/feed", "moved")
    for page in (FEEDS, f"{FEEDS}{feed.pk}/change/"):
        text = text_of(olivia.get(page))
        assert "&lt;b&gt;Slow&lt;/b&gt;" in text
        assert "failing: Its server takes too long to answer." in text
        assert "timeout" in text
        assert URL in text
    assert "https://old.example/feed" in text
    assert "1 feed" in text_of(olivia.get(f"{FEEDS}?q=slow"))
    assert "0 feeds" in text_of(olivia.get(f"{FEEDS}?state__exact=gone"))


def test_it_is_seen_that_a_feed_has_moved_and_that_one_is_part_of_another(olivia: Client) -> None:
    feed, other = known_feed(URL, title="Slow"), known_feed("https://example.org/2.xml", title="Fast")
    one_day_ago = timezone.now() - timedelta(days=1)
    done = {"decided": "followed", "decided_at": one_day_ago, "reason": "moved"}
    FeedMove.objects.create(feed=feed, to_url=URL, from_url="https://old.example/feed", **done)
    FeedMove.objects.create(feed=other, to_url=URL, decided_at=one_day_ago, decided="refused", reason="moved")
    for page in (FEEDS, f"{FEEDS}{feed.pk}/change/"):
        assert "moved: Moved to example.org." in text_of(olivia.get(page))
    assert "ok: Up to date." in text_of(olivia.get(f"{FEEDS}{other.pk}/change/"))
    merge(other.pk, feed.pk, "operator", timezone.now())
    for page in (FEEDS, f"{FEEDS}{other.pk}/change/"):
        assert "merged: Part of Slow." in text_of(olivia.get(page))


def test_of_a_secret_feed_the_host_is_shown_and_nothing_finds_it_by_what_it_says(olivia: Client) -> None:
    feed = known_feed(SECRET, title="For members", author="Ann", is_secret=True)
    known_as(feed, SECRET.replace("show", "other"))
    for page in (FEEDS, f"{FEEDS}{feed.pk}/change/"):
        text = text_of(olivia.get(page))
        assert "at www.patreon.com" in text
        assert "s3cr3t" not in text
        assert "For members" not in text
    for query in ("q=s3cr3t", "q=members", "q=patreon"):
        assert "0 feeds" in text_of(olivia.get(f"{FEEDS}?{query}")), query
    for lookup in ("url__startswith=https", "title__contains=members", "aliases__url__contains=s3"):
        assert olivia.get(f"{FEEDS}?{lookup}").status_code == 400, lookup
    act(olivia, "refetch", feed)
    assert not any("s3cr3t" in entry.object_repr for entry in LogEntry.objects.all())


def test_a_feed_is_fetched_anew_and_whole(olivia: Client) -> None:
    feed = known_feed(URL, etag='"1"', body_hash=b"x", next_at=timezone.now() + timedelta(days=1))
    assert "1 of them are fetched within seconds." in act(olivia, "refetch", feed)
    schedule = FeedSchedule.objects.get(feed=feed)
    assert schedule.next_at is not None
    assert schedule.next_at <= timezone.now()
    assert (schedule.etag, schedule.body_hash) == ("", None)
    assert LogEntry.objects.get().change_message == "Fetched again."


def test_a_feed_is_blocked_by_all_its_addresses_after_a_question_and_let_out_again(olivia: Client) -> None:
    feed, old = known_feed(URL), "https://old.example/feed"
    known_as(feed, old, "moved")
    assert "Only those who already follow these podcasts" in act(olivia, "block", feed, confirmed="")
    assert blocked(URL) == []
    assert "Blocked: 1." in act(olivia, "block", feed)
    assert blocked(URL) == blocked(old) == [True]
    assert "It was so already." in act(olivia, "block", feed)
    assert "No longer blocked: 1." in act(olivia, "unblock", feed)
    assert not any(blocked(URL) + blocked(old))


def test_two_feeds_are_merged_after_a_question_and_parted_again(olivia: Client) -> None:
    kept, other = known_feed(URL, title="Kept"), known_feed("https://example.org/2.xml", title="Other")
    known_episode(other, "1")
    question = act(olivia, "merge", kept, other)
    assert "Keep" in question
    assert Feed.objects.filter(merged_into=None).count() == 2
    assert "Other is part of Kept now." in act(olivia, "merge", kept, other, kept=kept.pk)
    other.refresh_from_db()
    assert other.merged_into_id == kept.pk
    assert "Other is a separate feed again." in act(olivia, "unmerge", other)
    other.refresh_from_db()
    assert other.merged_into_id is None


def test_what_cannot_be_merged_is_refused_in_words(olivia: Client) -> None:
    feed, secret = known_feed(URL), known_feed(SECRET, is_secret=True)
    assert "Choose two feeds" in act(olivia, "merge", feed)
    assert "a secret feed is never merged" in act(olivia, "merge", feed, secret, kept=feed.pk)
    assert "was not unmerged: this feed was not merged" in act(olivia, "unmerge", feed)
    marks.mark(feed_of_url(URL), "operator", timezone.now(), blocked=True)
    other = known_feed("https://example.org/2.xml")
    assert "Not merged: one of them is blocked" in act(olivia, "merge", feed, other, kept=feed.pk)


def test_helpers_look_where_they_may_and_act_where_they_may(olivia: Client) -> None:
    feed = known_feed(URL, title="Slow Radio")
    looker = logged_in(HelperFactory.create(username="Lola", permissions=["view_feed"]))
    assert "Slow Radio" in text_of(looker.get(FEEDS))
    act(looker, "block", feed)
    assert blocked(URL) == []
    helper = logged_in(HelperFactory.create(permissions=["view_feed", "change_feed"]))
    act(helper, "block", feed)
    assert blocked(URL) == [True]
    for client in (olivia, helper):
        assert client.get(f"{FEEDS}add/").status_code == 403
        assert client.post(f"{FEEDS}{feed.pk}/delete/").status_code == 403
