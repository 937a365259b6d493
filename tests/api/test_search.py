"""Searching podcasts and episodes."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.db import connections

from api.clock import now
from eventstore import marks
from eventstore.domain.identifiers import feed_of_url
from feeds import search
from feeds.models import Category
from tests.api.devices import Device, document, faults, feed, unharmed
from tests.feeds.known import known_as, known_episode, known_feed
from tests.feeds.rows import PUBLISHED
from tests.projecting import bring_up_to_date

pytestmark = pytest.mark.usefixtures("stores")
SECRET_URL = "https://www.patreon.com/rss/show?auth=secret"
HOSTILE = [
    *("'", '"', "\\", "%", "_", "&", "|", "!", "(", ")", ":*", "a:*b", "<->", "a <-> b", "a & | b", "'a'':*"),
    *("\0", "a\0b", "\x1b[0m", "😀", "a 😀 b", "<script>alert(1)</script>", "%s", "{place}", "$$", ";--"),
    *("\u202e", "\ufeff", "é" * 200, "a " * 100, "-- ", "http://[::1", "1e999", "\ud7ff", "x" * 200),
]


def number(url: int) -> str:
    return f"https://example.org/{url}.xml"


def found(device: Device, q: str, **parameters: Any) -> list[str]:
    """Return the titles of what is found."""
    kind = parameters.get("kind", "podcasts")
    answer = device.get(f"search?{urlencode({'q': q, **parameters})}")
    assert answer.status_code == 200, answer.content
    title = "title" if kind == "podcasts" else "rss_item_title"
    return [one[title] for one in document(answer)[kind]]


def test_podcasts_are_found_by_words_and_beginnings_without_case_accents_and_signs(phone: Device) -> None:
    titles = ["Éclair à l’Œuvre", "Straße & Søn", "Москва", "COVID-19: what now?", "node.js <b>weekly</b>"]
    for url, title in enumerate(titles):
        known_feed(number(url), title=title, author="", description="")
    eclair, street, moscow, covid, node = titles
    for words, expected in (
        ("eclair", eclair),
        ("ECLAIR A", eclair),
        ("l'oeuvre", eclair),
        ("œuv écl", eclair),
        ("strasse", street),
        ("son", street),
        ("москва", moscow),
        ("МОСК", moscow),
        ("covid 19", covid),
        ("covid-19", covid),
        ("Now", covid),
        ("js node", node),
        ("node.js", node),
        ("weekly", node),
    ):
        assert found(phone, words) == [expected], words
    for words in ("clair", "eclairs", "covid 20", "eclair moscow", "b", "&", "..."):
        assert found(phone, words) == [], words


def test_the_best_come_first_and_by_pages_each_once(phone: Device) -> None:
    known_feed(number(1), title="Tea", author="Ann", description="About radio.", newest_at=now())
    known_feed(number(2), title="Tea", author="The Radio People", description="")
    known_feed(number(3), title="My radio", newest_at=PUBLISHED)
    known_feed(number(4), title="Old radio", newest_at=PUBLISHED - timedelta(days=900))
    known_feed(number(5), title="Radio", newest_at=None)
    best = [number(url) for url in (5, 3, 4, 2, 1)]
    seen, cursor = [], ""
    for _ in best:
        page = document(phone.get(f"search?q=radio&limit=1{cursor}"))
        seen += [one["feed_url"] for one in page["podcasts"]]
        cursor = f"&cursor={page['next_cursor']}"
    assert (seen, page["next_cursor"]) == (best, None)


def test_a_podcast_is_shown_with_what_is_known_of_it(phone: Device) -> None:
    made = known_feed(number(1), title="Slow Radio", author="Ann", language="en", categories=["Arts"])
    old = known_as(made, "https://old.example/feed", "moved")
    (shown,) = document(phone.get("search?q=slow"))["podcasts"]
    cover = shown.pop("cover")
    assert shown == {
        "rss_source_feed": feed(1),
        "feed_url": number(1),
        "title": "Slow Radio",
        "author": "Ann",
        "language": "en",
        "categories": ["Arts"],
        "episode_count": 0,
        "newest_episode_at": None,
        "subscribed": False,
        "enriched": None,
    }
    assert cover.startswith("http://localhost:8000/covers/") or "/covers/" in cover
    phone.post("subscriptions", {"rss_source_feed": old})
    bring_up_to_date()
    (shown,) = document(phone.get("search?q=slow"))["podcasts"]
    assert (shown["rss_source_feed"], shown["subscribed"]) == (old, True)


def test_episodes_are_found_by_their_titles_the_newest_first(phone: Device) -> None:
    made = known_feed(number(1), title="Slow Radio")
    for day in range(3):
        at = PUBLISHED + timedelta(days=day)
        known_episode(made, f"e{day}", title=f"Évening {day}", published_at=at, sort_at=at)
    known_episode(made, "gone", title="Evening, gone", gone_at=now())
    assert found(phone, "evening", kind="episodes") == ["Évening 2", "Évening 1", "Évening 0"]
    assert found(phone, "evening 1", kind="episodes") == ["Évening 1"]
    assert found(phone, "slow", kind="episodes") == []
    page = document(phone.get("search?q=evening&kind=episodes&limit=2"))
    first = page["episodes"][0]
    assert first == first | {"rss_source_feed": feed(1), "guid": "e2", "rss_feed_title": "Slow Radio"}
    rest = document(phone.get(f"search?q=evening&kind=episodes&limit=2&cursor={page['next_cursor']}"))
    assert [one["guid"] for one in rest["episodes"]] == ["e0"]
    assert (page["podcasts"], rest["next_cursor"]) == ([], None)


def test_it_is_cut_to_a_category_and_a_language(phone: Device) -> None:
    Category.objects.create(slug="food", name="Food")
    for url, (language, categories) in enumerate([("fr-CA", ["Food"]), ("fr", []), ("en", ["food"])]):
        known_episode(
            known_feed(number(url), title=f"Tea {url}", language=language, categories=categories),
            title=f"Tea {url}",
        )
    for kind in ("podcasts", "episodes"):
        assert set(found(phone, "tea", kind=kind, category="food")) == {"Tea 0", "Tea 2"}
        assert set(found(phone, "tea", kind=kind, language="FR")) == {"Tea 0", "Tea 1"}
        assert found(phone, "tea", kind=kind, category="food", language="fr") == ["Tea 0"]


@pytest.mark.parametrize("hidden", ["secret", "blocked", "locked", "operator"])
def test_a_secret_or_blocked_feed_is_found_by_its_followers_alone(
    phone: Device, bobs: Device, hidden: str
) -> None:
    url = SECRET_URL if hidden == "secret" else number(1)
    says = {} if hidden == "operator" else {"is_secret" if hidden == "secret" else hidden: True}
    made = known_feed(url, title="Members", **says)
    known_episode(made, title="Members only")
    if hidden == "operator":
        marks.mark(feed_of_url(url), "operator", now(), blocked=True)
    phone.post("subscriptions", {"rss_source_feed": feed_of_url(url)})
    bring_up_to_date()
    for device, expected in ((phone, ["Members"]), (bobs, [])):
        assert found(device, "members") == expected
        assert found(device, "members", kind="episodes") == [f"{title} only" for title in expected]
    phone.delete(f"subscriptions/{quote(feed_of_url(url), safe='')}")
    bring_up_to_date()
    assert found(phone, "members") == found(phone, "members", kind="episodes") == []


def test_an_episode_that_its_publisher_blocks_is_found_by_followers_alone(
    phone: Device, bobs: Device
) -> None:
    known_episode(known_feed(number(1)), title="Draft", blocked=True)
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    bring_up_to_date()
    assert found(phone, "draft", kind="episodes") == ["Draft"]
    assert found(bobs, "draft", kind="episodes") == []


def test_a_merged_feed_is_not_found_twice(phone: Device) -> None:
    kept = known_feed(number(1), title="Tea")
    known_feed(number(2), title="Tea", merged_into=kept, state="merged")
    assert found(phone, "tea") == ["Tea"]


@pytest.mark.parametrize("kind", ["podcasts", "episodes"])
def test_whatever_is_looked_for_is_answered(phone: Device, kind: str) -> None:
    known_episode(known_feed(number(1), title="%s $$ 😀 {place}"), title="a")
    with unharmed(phone):
        for words in HOSTILE:
            answer = phone.get(f"search?{urlencode({'q': words, 'kind': kind})}")
            assert answer.status_code in (200, 400), (words, answer.content)


def test_bad_values_are_named(phone: Device) -> None:
    with unharmed(phone):
        for query, place in (
            ("", "q"),
            ("q=", "q"),
            ("q=%20%00", "q"),
            (f"q={'x' * 7_000}", "q"),
            ("q=a&kind=people", "kind"),
            ("q=a&category=none-such", "category"),
            ("q=a&language=!", "language"),
            ("q=a&limit=0", "limit"),
            ("q=a&cursor=x", "cursor"),
            ("q=a&cursor=MyAyMDI2LTAxLTAxVDAwOjAwOjAwKzAwOjAwIDk5OTk5OTk5OTk5OTk5OTk5OTk5", "cursor"),
        ):
            answer = phone.get(f"search?{query}")
            assert (answer.status_code, list(faults(answer))) == (400, [place]), query


def test_a_mistyped_word_is_taken_for_one_like_it_where_the_server_has_trigrams(phone: Device) -> None:
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'")
        if not cursor.rowcount:
            pytest.skip("this PostgreSQL has no pg_trgm")
        known_feed(number(1), title="Philosophy Weekly", language="en")
        known_feed(SECRET_URL, title="Philosophy for members", is_secret=True)
        assert found(phone, "philosofy") == []
        cursor.execute("CREATE EXTENSION pg_trgm SCHEMA public")
        try:
            assert found(phone, "philosofy") == ["Philosophy Weekly"]
            assert found(phone, "philosofy", language="fr") == []
            assert found(phone, "nothing of the kind") == []
        finally:
            cursor.execute("DROP EXTENSION pg_trgm")
            search._trigrams.clear()
