"""/apps/tokens: feed addresses of a listener's lists for players that cannot sync."""

import re
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from accounts.models import PlayToken, User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.collections import CreateCollection
from eventstore.domain.playlists import CreatePlaylist
from playgateway import limits, tokens
from tests.projecting import bring_up_to_date
from tests.web.library import NOW, follow, show
from tests.web.people import Visitor, text_of
from web import play_tokens

NEW = "/apps/tokens/new"
PLAYLIST = UUID("11111111-1111-4111-8111-111111111111")
COLLECTION = UUID("22222222-2222-4222-8222-222222222222")


def fields(name: str = "Kitchen radio", **more: object) -> dict[str, object]:
    return {"name": name, "lists": [], "days": "", "request": str(uuid4()), **more}


def addresses(page: str) -> list[str]:
    """Return the paths of the feed addresses, without this server's origin."""
    return re.findall(r'value="https?://[^/"]+(/rss/[^"]+)"', page)


def keep_lists(user: User) -> None:
    dispatch(
        CreatePlaylist(
            user_id=user.pk, playlist_id=PLAYLIST, name="Running", description=None, is_public=False, now=NOW
        ),
        Origin(),
    )
    dispatch(
        CreateCollection(
            user_id=user.pk,
            collection_id=COLLECTION,
            name="News",
            description=None,
            color=None,
            is_public=False,
            now=NOW,
        ),
        Origin(),
    )
    bring_up_to_date()


def test_a_new_token_is_shown_once_as_the_addresses_of_all_lists(alice: User, bob: User) -> None:
    follow(alice, show(1, 1))
    keep_lists(alice)
    visitor = Visitor(alice)
    answer = visitor.send(NEW, fields())
    assert (answer.status_code, "no-store" in answer["Cache-Control"]) == (201, True)
    page = text_of(answer)
    paths = addresses(page)
    assert [path.split("/", 3)[3] for path in paths] == [
        "subscriptions.xml",
        "saved.xml",
        "queue.xml",
        f"playlists/{PLAYLIST}.xml",
        f"collections/{COLLECTION}.xml",
    ]
    assert page.count('class="code"') == len(paths)
    assert all(Visitor().get(path).status_code == 200 for path in paths)
    listed = text_of(visitor.get("/apps"))
    assert "Kitchen radio" in listed
    assert paths[0].split("/")[2] not in listed
    assert "Kitchen radio" not in text_of(Visitor(bob).get("/apps"))


def test_a_token_may_be_limited_to_lists_and_days(alice: User) -> None:
    keep_lists(alice)
    answer = Visitor(alice).send(NEW, fields(lists=["saved", str(PLAYLIST)], days="30"))
    assert [path.split("/", 3)[3] for path in addresses(text_of(answer))] == [
        "saved.xml",
        f"playlists/{PLAYLIST}.xml",
    ]
    token = PlayToken.objects.get()
    assert token.lists == ["saved", str(PLAYLIST)]
    assert token.expires_at
    assert timedelta(days=29) < token.expires_at - datetime.now(UTC) < timedelta(days=31)
    assert "Playlist: Running" in text_of(Visitor(alice).get("/apps"))


def test_sending_the_form_twice_makes_one_token(alice: User) -> None:
    visitor, once = Visitor(alice), fields()
    first, second = (addresses(text_of(visitor.send(NEW, once))) for _ in range(2))
    assert first == second
    assert PlayToken.objects.count() == 1


@pytest.mark.parametrize(
    "wrong",
    [{"name": " "}, {"name": "x" * 101}, {"lists": [str(PLAYLIST)]}, {"days": "7"}],
)
def test_bad_input_is_told_and_kept(alice: User, wrong: dict[str, object]) -> None:
    answer = Visitor(alice).send(NEW, {**fields(), **wrong})
    assert answer.status_code == 400
    assert "errorlist" in text_of(answer)
    assert not PlayToken.objects.exists()


def test_there_is_an_end_to_tokens(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play_tokens, "MOST_TOKENS", 1)
    visitor = Visitor(alice)
    assert visitor.send(NEW, fields()).status_code == 201
    answer = visitor.send(NEW, fields("Car"))
    assert answer.status_code == 400
    assert "You have 1 already" in text_of(answer)
    assert 'value="Car"' in text_of(answer)


def test_it_is_renamed_and_revoked_by_its_owner_alone(alice: User, bob: User) -> None:
    path = addresses(text_of(Visitor(alice).send(NEW, fields())))[0]
    own = f"/apps/tokens/{PlayToken.objects.get().pk}"
    for action in ("rename", "revoke"):
        for number in (own, "/apps/tokens/999999"):
            assert Visitor(bob).get(f"{number}/{action}").status_code == 404
            assert Visitor(bob).send(f"{number}/{action}", {"name": "Mine"}).status_code == 404
    visitor = Visitor(alice)
    assert "Kitchen radio" in text_of(visitor.get(f"{own}/rename"))
    assert visitor.send(f"{own}/rename", {"name": " "}).status_code == 400
    visitor.send(f"{own}/rename", {"name": "Bathroom"})
    assert "It is called Bathroom now." in text_of(visitor.get("/apps"))
    assert Visitor().get(path).status_code == 200
    assert "Revoke Bathroom?" in text_of(visitor.get(f"{own}/revoke"))
    visitor.send(f"{own}/revoke", {})
    assert Visitor().get(path).status_code == 404
    assert "open nothing any more" in text_of(visitor.get("/apps"))


def test_a_player_that_asks_too_often_is_told_of(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FEEDS_PER_HOUR", 1)
    # token ids start again in each test
    tokens._noted.clear()
    path = addresses(text_of(Visitor(alice).send(NEW, fields())))[0]
    assert [Visitor().get(path).status_code for _ in range(2)] == [200, 429]
    page = text_of(Visitor(alice).get("/apps"))
    assert "It sent too many requests" in page
    assert "Last used" in page
