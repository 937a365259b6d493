"""/search: what a listener finds, and that nobody finds what belongs to others."""

import re
from datetime import UTC, datetime

import pytest

from accounts.models import Profile, User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.playlists import UpdatePlaylist
from tests.factories import UserFactory
from tests.projecting import bring_up_to_date
from tests.web.library import HOSTILE, follow, hear, show
from tests.web.listing import playlist
from tests.web.people import Visitor, text_of
from tests.web.test_queries import MOST, counted

PATH = "/search"
HTMX = {"HX-Request": "true", "HX-Target": "found"}


def names(page: str) -> list[str]:
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', page)


def find(user: User, words: str, **query: str) -> str:
    answer = Visitor(user).get(PATH, {"q": words, **query})
    assert answer.status_code == 200
    return text_of(answer)


def test_podcasts_and_episodes_are_found_by_beginnings_and_mistyped(alice: User) -> None:
    feed = show(1, 2, title="Éclairs lents")
    feed.episodes.filter(guid="1-0").update(title="Éclipse totale")
    show(2, 1, title="Night Kitchen")
    hear(alice, feed.episodes.get(guid="1-0"), 900)
    bring_up_to_date()
    page = find(alice, "ecl")
    assert names(page) == ["Éclairs lents", "Éclipse totale"]
    assert "15 min left" in page
    assert names(find(alice, "ecl", kind="episodes")) == ["Éclipse totale"]
    assert names(find(alice, "nigth kitchen", kind="podcasts")) in (["Night Kitchen"], [])
    assert "Nothing found" in find(alice, "xyzzy")
    assert names(find(alice, "")) == []


def test_it_answers_while_one_types_and_goes_on_by_cursor(alice: User) -> None:
    for number in range(32):
        show(number, 0, title=f"Radio {number:02}")
    piece = text_of(Visitor(alice).get(PATH, {"q": "radio"}, headers=HTMX))
    assert "<html" not in piece
    assert len(names(piece)) == 5
    assert "All podcasts found" in piece
    first = find(alice, "radio", kind="podcasts")
    assert len(names(first)) == 30
    (following,) = re.findall(r'href="([^"]*)" rel="next"', first)
    rest = text_of(Visitor(alice).get(following.replace("&amp;", "&")))
    assert len(set(names(first) + names(rest))) == 32
    assert Visitor(alice).get(PATH, {"q": "radio", "kind": "podcasts", "after": "x"}).status_code == 400
    assert Visitor(alice).get(PATH, {"q": "x" * 201}).status_code == 400


def test_what_is_secret_or_blocked_is_found_by_its_followers_alone(alice: User, bob: User) -> None:
    secret = show(1, 1, title="Radio for members", is_secret=True)
    secret.episodes.update(title="Radio hour")
    blocked = show(2, 1, title="Radio withdrawn", blocked=True)
    follow(bob, secret, blocked)
    assert names(find(alice, "radio")) == []
    assert "Radio for members" in names(find(bob, "radio"))
    assert "Radio hour" in names(find(bob, "radio"))


def test_public_playlists_are_found_until_they_are_hidden(alice: User, bob: User) -> None:
    shared = playlist(bob, name="Été à la Radio", is_public=True)
    playlist(bob, name="Radio of my own")
    bring_up_to_date()
    page = find(alice, "ete rad")
    assert names(page) == ["Été à la Radio"]
    assert f'href="/u/Bob/playlists/{shared}"' in page
    assert Visitor(alice).get(f"/u/Bob/playlists/{shared}").status_code == 200
    assert names(find(alice, "radio", kind="playlists")) == ["Été à la Radio"]
    assert names(find(alice, "adio", kind="playlists")) == []
    order = UpdatePlaylist(user_id=bob.pk, playlist_id=shared, is_public=False, now=datetime.now(UTC))
    dispatch(order, Origin())
    assert names(find(alice, "radio")) == []  # though the read model does not know about it yet
    bring_up_to_date()
    assert names(find(alice, "radio")) == []
    playlist(bob, name="Radio again", is_public=True)
    User.objects.filter(pk=bob.pk).update(is_active=False)
    bring_up_to_date()
    assert names(find(alice, "radio")) == []


def test_people_are_found_by_their_public_profiles_alone(alice: User, bob: User) -> None:
    Profile.objects.create(user=bob, public_name="Zoë Radio", is_public=True)
    Profile.objects.create(user=alice, public_name="Radio of Alice")
    page = find(alice, "zoe")
    assert names(page) == ["Zoë Radio"]
    assert 'href="/u/Bob"' in page
    assert names(find(alice, "bob", kind="people")) == ["Zoë Radio"]
    assert names(find(alice, "radio", kind="people")) == ["Zoë Radio"]
    Profile.objects.update(is_public=False)
    assert names(find(alice, "zoe")) == []
    for number in range(31):
        user = UserFactory.create(username=f"singer{number:02}")
        Profile.objects.create(user=user, is_public=True)
    first = find(alice, "singer", kind="people")
    (following,) = re.findall(r'href="([^"]*)" rel="next"', first)
    rest = text_of(Visitor(alice).get(following.replace("&amp;", "&")))
    assert names(first) + names(rest) == [f"singer{number:02}" for number in range(31)]


def test_texts_are_text_and_strangers_log_in(alice: User) -> None:
    feed = show(1, 3, title=f"Radio {HOSTILE}")
    feed.episodes.update(title=f"Radio {HOSTILE}")
    page = text_of(Visitor(alice).get(PATH, {"q": "radio"}))
    assert "<script>alert" not in page
    assert 'value="&lt;b&gt;"' in find(alice, "<b>")
    assert Visitor().get(PATH)["Location"].startswith("/users/log_in")


def test_all_kinds_at_once_take_twelve_statements(
    alice: User, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = show(1, 3, title="Radio")
    feed.episodes.update(title="Radio")
    follow(alice, feed)
    hear(alice, feed.episodes.get(guid="1-0"), 900)
    playlist(bob, name="Radio of mine", is_public=True)
    Profile.objects.create(user=bob, public_name="Zoë Radio", is_public=True)
    bring_up_to_date()
    client = Visitor(alice)
    client.get(PATH, {"q": "radio"})
    with counted(monkeypatch) as sent:
        page = text_of(client.get(PATH, {"q": "radio"}))
    assert names(page) == ["Radio", "Radio", "Radio", "Radio", "Radio of mine", "Zoë Radio"]
    assert len(sent) <= MOST
