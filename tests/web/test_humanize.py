"""How names, numbers and times are written."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import translation

from eventstore.domain.identifiers import InvalidIdentifier, feed_of_url, normalise_item
from feeds import states
from web import feed_errors
from web.humanize import address_of, ago, clock, duration, episode_name, host_of, hours_ago, initials

NOW = datetime(2026, 11, 20, 21, 15, tzinfo=UTC)


def item(guid: str, enclosure: str = "") -> str:
    return normalise_item(base64.b64encode(f"{guid},{enclosure}".encode()).decode())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (59, "0:59"), (754, "12:34"), (3600, "1:00:00"), (2**31 - 1, "596523:14:07")],
)
def test_positions_are_written_as_players_write_them(seconds: int, text: str) -> None:
    assert clock(seconds) == text


def test_an_episode_goes_by_its_file_and_else_by_its_guid() -> None:
    assert episode_name(item("guid", "https://cdn.example/a/Folge%208.m4a?x=1")) == "Folge 8.m4a"
    assert episode_name(item("tag:example.org,2026:1")) == "tag:example.org,2026:1"
    assert episode_name(item("guid", "https://cdn.example/")) == "guid"
    assert episode_name(item("", "https://cdn.example/")) == "https://cdn.example/"
    assert len(episode_name(item("x" * 500))) == 120


@pytest.mark.parametrize(
    "enclosure", ["http://[", "http://[::1", "https://[x]/1.mp3", "https://a\u2100b/1.mp3"]
)
def test_an_enclosure_that_no_parser_takes_is_refused_and_would_be_shown_as_it_is(enclosure: str) -> None:
    with pytest.raises(InvalidIdentifier):
        item("broken", enclosure)
    stored = base64.b64encode(f",{enclosure}".encode()).decode()
    assert episode_name(stored) == enclosure


def test_a_feed_goes_by_its_host_and_what_follows() -> None:
    feed = feed_of_url("https://Feeds.Example.org:8443/a/b?id=1")
    assert (host_of(feed), address_of(feed)) == ("feeds.example.org", "feeds.example.org:8443/a/b?id=1")


@pytest.mark.parametrize(
    ("seconds", "english", "french"),
    [
        (40, "40 s", "40 s"),
        (60, "1 min", "1 min"),
        (3_569, "59 min", "59 min"),
        (11_520, "3 h 12 min", "3 h 12"),
    ],
)
def test_durations_are_rounded_to_minutes(seconds: int, english: str, french: str) -> None:
    assert duration(seconds) == english
    with translation.override("fr"):
        assert duration(seconds) == french


@pytest.mark.parametrize(
    ("passed", "english", "french"),
    [
        (timedelta(seconds=5), "just now", "à l’instant"),
        (timedelta(minutes=12), "12 min ago", "il y a 12 min"),
        (timedelta(hours=2), "2 h ago", "il y a 2 h"),
        (timedelta(days=1, hours=5), "1 day ago", "il y a 1 jour"),
        (timedelta(days=7), "7 days ago", "il y a 7 jours"),
        (timedelta(days=9), "11 Nov 2026", "11 nov. 2026"),
        (timedelta(hours=-3), "21 Nov 2026", "21 nov. 2026"),
    ],
)
def test_what_is_not_long_ago_is_told_by_how_long(passed: timedelta, english: str, french: str) -> None:
    assert ago(NOW - passed, NOW) == english
    with translation.override("fr"):
        assert ago(NOW - passed, NOW) == french


def test_a_title_has_two_initials_at_most() -> None:
    found = {initials(text) for text in ("Slow Radio", "slow radio waves")}
    assert found == {"SR"}
    assert [initials(text) for text in ("7", "", "<b>x", "الراديو البطيء")] == ["7", "", "BX", "اا"]


def test_whatever_is_wrong_with_a_feed_has_words_in_both_languages() -> None:
    assert feed_errors.ERRORS.keys() == states.ERRORS.keys()
    assert {code: str(text) for code, text in feed_errors.ERRORS.items()} == states.ERRORS


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "in the last hour"), (59, "in the last hour"), (61, "1 h ago")]
)
def test_a_time_that_is_kept_to_the_hour_has_no_minutes(minutes: int, words: str) -> None:
    assert hours_ago(NOW - timedelta(minutes=minutes), NOW) == words
