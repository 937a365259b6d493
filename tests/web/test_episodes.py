"""/episodes/{item}: an episode to listen to."""

import re

import pytest

from accounts.models import User
from projections import queries
from tests.feeds.rows import item_name, name_of
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, follow, hear, page_of_episode, show, unknown_episode
from tests.web.people import Visitor, text_of
from tests.web.test_privacy_choice import undo_of


def act(visitor: Visitor, path: str, what: str) -> str:
    """Press a button of the episode's page, and return the address to which it redirects."""
    base, _, query = path.partition("?")
    return visitor.send(f"{base}/{what}?{query}", {})["Location"]


def test_it_plays_from_where_the_listener_was(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    path = page_of_episode(episode)
    assert 'src="https://audio.example/1/0.mp3"' in text_of(Visitor(alice).get(path))
    hear(alice, episode, 754)
    bring_up_to_date()
    answer = Visitor(alice).get(path)
    assert 'src="https://audio.example/1/0.mp3#t=754"' in text_of(answer)
    assert "media-src http: https:" in answer["Content-Security-Policy"]
    assert "It begins at 2:00." in text_of(Visitor(alice).get(f"{path}&t=120"))
    for page in ("/subscriptions", "/settings/account"):  # the player stays on every page
        assert "media-src http: https:" in Visitor(alice).get(page)["Content-Security-Policy"]
    assert "media-src" not in Visitor().get("/users/log_in")["Content-Security-Policy"]


def test_it_is_marked_as_played_and_that_is_taken_back(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    hear(alice, episode, 754)
    visitor, path = Visitor(alice), page_of_episode(episode)
    bring_up_to_date()

    def heard() -> tuple[int, bool]:
        bring_up_to_date()
        (row,) = queries.play_statuses(alice.pk).rows
        return row.position, row.played

    assert act(visitor, path, "played") == path
    assert heard() == (754, True)
    visitor.send(undo_of(text_of(visitor.get(path))), {})
    assert heard() == (754, False)


def test_it_is_saved_and_not_saved(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    visitor, path = Visitor(alice), page_of_episode(episode)

    def is_saved() -> bool:
        bring_up_to_date()
        return queries.saved_of(alice.pk, name_of(episode.feed), item_name(episode))

    act(visitor, path, "save")
    assert is_saved()
    act(visitor, path, "unsave")
    assert not is_saved()


def test_sharing_it_is_noted_each_time(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    visitor, path = Visitor(alice), page_of_episode(episode)
    assert act(visitor, path, "share") == path
    base, _, query = path.partition("?")
    piece = visitor.send(f"{base}/share?{query}", {}, headers={"HX-Request": "true"})
    assert "Noted in your history as shared." in text_of(piece)
    assert text_of(visitor.get("/history")).count("Shared") == 2


def test_chapters_lead_to_their_places(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    chapters = [{"start": "0", "title": "Hello"}, {"start": "00:01:05.5", "title": ""}, {"start": "x"}]
    episode.extra = {"pscChapters": [{"version": "1.2", "chapter": chapters}]}
    episode.save()
    page = text_of(Visitor(alice).get(page_of_episode(episode)))
    assert re.findall(r'data-at="(\d+)"', page) == ["0", "65"]
    assert "<bdi>1:05</bdi>" in page


def test_it_names_people_and_soundbites_and_asks_for_its_transcript(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    episode.extra = {
        "person": [
            {"text": "Ann", "role": "host", "href": "https://ann.example/"},
            {"text": HOSTILE, "href": "javascript:x"},
        ],
        "soundbite": [{"startTime": "73.5", "duration": "60", "text": "Late trains"}, {"startTime": "x"}, {}],
        "transcript": [{"url": "https://show1.example/said.vtt"}],
        "chapters": [{"url": "https://show1.example/chapters.json"}],
    }
    episode.save()
    page = text_of(Visitor(alice).get(page_of_episode(episode)))
    assert '<a href="https://ann.example/" rel="noopener noreferrer nofollow"><bdi>Ann</bdi></a>' in page
    assert "javascript:" not in page
    assert "<script>alert" not in page
    assert re.findall(r'data-at="(\d+)"', page) == ["73"]
    base, _, query = page_of_episode(episode).partition("?")
    for name in ("transcript", "chapters"):
        assert f'hx-get="{base}/{name}?{query}"' in page


def test_its_notes_run_and_load_nothing(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    episode.title, episode.description, episode.link = HOSTILE, HOSTILE, "javascript:alert(1)"
    episode.save()
    page = text_of(Visitor(alice).get(page_of_episode(episode)))
    for found in ("<script>alert", "<img src=x", 'href="javascript:'):
        assert found not in page


def test_what_is_not_known_or_not_his_is_not_there(alice: User, bob: User) -> None:
    secret = show(1, 1, is_secret=True)
    follow(alice, secret)
    path = page_of_episode(secret.episodes.get())
    bare = path.partition("?")[0]
    for address in (path, bare, f"{bare}?feed=x", unknown_episode(), "/episodes/x"):
        assert Visitor(bob).get(address).status_code == 404
    assert Visitor(alice).get(path).status_code == 200


def test_what_a_listener_has_heard_has_a_page_though_its_feed_is_not_known(alice: User) -> None:
    episode = show(1, 1).episodes.get()
    hear(alice, episode, 30)
    bring_up_to_date()
    path = page_of_episode(episode)
    episode.feed.aliases.all().delete()
    page = text_of(Visitor(alice).get(path))
    assert "0.mp3" in page
    assert "#t=30" in page


@pytest.mark.parametrize("position", ["-1", "x", "1.5", "²", "9" * 12])
def test_a_position_is_a_number_of_seconds(alice: User, position: str) -> None:
    path = page_of_episode(show(1, 1).episodes.get())
    assert Visitor(alice).get(f"{path}&t={position}").status_code == 400


def test_another_site_marks_nothing(alice: User) -> None:
    path = page_of_episode(show(1, 1).episodes.get()).replace("?", "/played?")
    assert Visitor(alice).post(path).status_code == 403
    assert Visitor(alice).get(path).status_code == 405
