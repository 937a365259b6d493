"""/privacy-manager: what others see, what a change would do, and making it."""

import re

import pytest

from accounts.models import User
from eventstore.domain.privacy import Level
from projections import queries
from tests.projecting import bring_up_to_date
from tests.web.counting import counting
from tests.web.library import HOSTILE, follow, hear, page_of, page_of_episode, show
from tests.web.people import Response, Visitor, text_of
from tests.web.test_privacy_choice import HTMX, undo_of
from web import privacy_overrides
from web.addresses import in_path
from web.read_your_writes import SEEN

PATH = "/privacy-manager"


def settings_of(user: User) -> dict[tuple[str | None, str | None], Level]:
    bring_up_to_date()
    rows = queries.privacy_settings(user.pk).rows
    return {(row.rss_source_feed, row.rss_source_item): row.level for row in rows}


def titles(response: Response) -> list[str]:
    return re.findall(r'<p class="name"><a [^>]*><bdi>([^<]*)</bdi>', text_of(response))


def plain(response: Response) -> str:
    """Return the text of a page's main part without tags, with white space collapsed."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", text_of(response).split("<main")[1]))


@pytest.fixture
def listener(alice: User) -> Visitor:
    """Alice, who follows two podcasts and has heard an episode of the first."""
    feeds = [show(1, 1), show(2, 1)]
    follow(alice, *feeds)
    hear(alice, feeds[0].episodes.get(), 754)
    bring_up_to_date()
    return Visitor(alice)


def test_each_level_of_the_account_is_explained_by_what_the_listener_did(listener: Visitor) -> None:
    page = plain(listener.get(PATH))
    assert "Alice played Episode 1-0, " in page
    assert "Somebody played Episode 1-0, in the hour after" in page
    assert "Only you see it. Change" in page
    assert "Nothing of what you did is seen." in page


def test_nothing_changes_before_the_preview_is_confirmed_and_all_of_it_is_undone(
    alice: User, listener: Visitor
) -> None:
    wanted = {"scope": "account", "level": "public"}
    shown = plain(listener.send(f"{PATH}/preview", wanted))
    assert "Make your account public?" in shown
    assert "Seen as followed by you 2" in shown
    assert "New to others, with your name 3" in shown
    assert "Alice played Episode 1-0" in shown
    assert settings_of(alice) == {}
    assert listener.send(PATH, wanted)["Location"] == PATH
    assert settings_of(alice) == {(None, None): "public"}
    page = listener.get(PATH)
    assert "3 things with your name" in plain(page)
    assert "Your account is public now." in text_of(page)
    undo = undo_of(text_of(page))
    listener.send(undo, {})
    assert settings_of(alice) == {}
    assert "Vanishes" not in plain(listener.send(f"{PATH}/preview", {"scope": "account", "level": "private"}))


def test_several_are_set_and_cleared_at_once(alice: User, listener: Visitor) -> None:
    first, second = (in_path(row.rss_source_feed) for row in queries.subscriptions(alice.pk).rows)
    listener.send(PATH, {"scope": "chosen", "level": "anonymous", "chosen": [first, second]})
    assert list(settings_of(alice).values()) == ["anonymous", "anonymous"]
    assert sorted(titles(listener.get(PATH))) == ["Show 1", "Show 2"]
    listener.send(PATH, {"scope": "chosen", "level": "", "only": first, "chosen": [second]})
    [(feed, _item)] = settings_of(alice)
    assert in_path(feed or "") == second
    preview = plain(listener.send(f"{PATH}/preview", {"scope": "all"}))
    assert "Clear 1 level?" in preview
    assert "Vanishes; it was without your name" in preview
    listener.send(PATH, {"scope": "all"})
    assert settings_of(alice) == {}
    listener.send(undo_of(text_of(listener.get(PATH))), {})
    assert list(settings_of(alice).values()) == ["anonymous"]
    bring_up_to_date()
    assert "Nothing has changed." in text_of(
        listener.send(PATH, {"scope": "account", "level": ""}, follow=True)
    )


def test_an_undo_is_the_listeners_own(alice: User, bob: User, listener: Visitor) -> None:
    listener.send(PATH, {"scope": "account", "level": "public"})
    bring_up_to_date()
    undo = undo_of(text_of(listener.get(PATH)))
    Visitor(bob).send(undo, {})
    assert settings_of(bob) == {}
    assert settings_of(alice) == {(None, None): "public"}


def test_the_list_is_searched_cut_and_shows_what_is_followed(
    alice: User, listener: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(privacy_overrides, "PAGE", 1)
    address, seen = f"{PATH}?show=followed", []
    while address:
        page = listener.get(address)
        seen += titles(page)
        following = re.search(r'href="([^"]*after=[^"]+)"', text_of(page))
        address = following[1].replace("&amp;", "&") if following else ""
    assert sorted(seen) == ["Show 1", "Show 2"]
    found = listener.get(PATH, {"show": "followed", "q": "show 2"}, headers={**HTMX, "HX-Target": "found"})
    assert titles(found) == ["Show 2"]
    assert "<html" not in text_of(found)
    assert "Nothing found" in text_of(listener.get(PATH, {"q": "Show 2"}))


def test_what_no_page_sends_is_refused(listener: Visitor) -> None:
    for fields in (
        {"scope": "account", "level": "all"},
        {"scope": "everybody", "level": "public"},
        {"level": "public"},
        {"scope": "chosen", "level": "public", "chosen": "!"},
        {"only": "a.b", "level": "public"},
    ):
        for path in (PATH, f"{PATH}/preview"):
            assert listener.send(path, fields).status_code == 400, fields
    assert "Nothing is ticked" in text_of(
        listener.send(f"{PATH}/preview", {"scope": "chosen", "level": "public"})
    )


def test_what_is_never_public_is_in_no_preview(alice: User) -> None:
    """This includes an episode that its publisher has blocked, which the read models do not know about."""
    feeds = [show(1, 2), show(2, 1, title=HOSTILE)]
    follow(alice, *feeds)
    for feed in feeds:
        for episode in feed.episodes.all():
            hear(alice, episode, 10)
    feeds[0].episodes.filter(guid="1-0").update(blocked=True)
    bring_up_to_date()
    page = text_of(Visitor(alice).send(f"{PATH}/preview", {"scope": "account", "level": "public"}))
    assert "Episode 1-1" in page
    assert "Episode 1-0" not in page
    assert "<script>alert" not in page


def test_the_pages_ask_little_however_much_there_is(alice: User, listener: Visitor) -> None:
    found = []
    for number in range(3, 5):
        feed = show(number, 2)
        follow(alice, feed)
        listener.send(f"{page_of(feed)}/privacy", {"level": "anonymous"})
        for episode in feed.episodes.all():
            hear(alice, episode, 60)
            bring_up_to_date()
            listener.send(page_of_episode(episode).replace("?", "/privacy?"), {"level": "public"})
        bring_up_to_date()
        listener.cookies.pop(SEEN)
        with counting() as asked:
            counts = []
            for path in (PATH, f"{PATH}?q=show", page_of(feed), f"{page_of(feed)}/privacy"):
                assert listener.get(path).status_code == 200
                counts.append(asked())
            listener.send(f"{PATH}/preview", {"scope": "account", "level": "public"})
            found.append([*counts, asked()])
    assert found[0] == found[1]
    assert max(found[0]) <= 12
