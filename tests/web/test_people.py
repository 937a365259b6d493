"""Profiles: /settings/profile, /u/{username} and the pictures; nothing of them is public by default."""

from io import BytesIO
from typing import Any
from uuid import uuid4

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from PIL import Image

from accounts import erasure, profiles
from accounts.models import Avatar, Profile, User
from eventstore.dispatcher import Origin, dispatch
from eventstore.domain.playlists import CreatePlaylist, UpdatePlaylist
from projections.erasure import erase_history
from tests.feeds.pictures import picture, turned
from tests.projecting import bring_up_to_date
from tests.web.counting import counting
from tests.web.library import HOSTILE, follow, hear, page_of, page_of_episode, show
from tests.web.people import Response, Visitor, text_of

SETTINGS, PAGE = "/settings/profile", "/u/Alice"
TOLD = {
    "public_name": "Alice Aventura",
    "bio": "Walks and listens.\nMostly walks.",
    "links": "alice.example/about\nhttps://b.example",
}


def tell(visitor: Visitor, **fields: Any) -> Response:
    return visitor.send(SETTINGS, {**TOLD, **fields})


def file(data: bytes, name: str = "me.jpg") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data)


def make_public(user: User, *pages: str) -> None:
    for page in pages:
        Visitor(user).send(
            page.replace("?", "/privacy?") if "?" in page else f"{page}/privacy", {"level": "public"}
        )
    bring_up_to_date()


def test_nothing_of_a_profile_is_public_until_its_owner_says_so(alice: User) -> None:
    visitor = Visitor(alice)
    tell(visitor, picture=file(picture("JPEG")))
    profile = Profile.objects.get()
    nobody = Visitor().get("/u/Nobody")
    assert (Visitor().get(PAGE).status_code, Visitor().get(PAGE).content) == (404, nobody.content)
    assert Visitor().get(f"/avatars/{profile.avatar}/300.webp").status_code == 404
    assert visitor.get(f"/avatars/{profile.avatar}/300.webp").status_code == 200
    assert visitor.get("/avatars/%00/300.webp").status_code == 404
    make_public(alice, page_of(show(1, 0)))
    follow(alice, show(2, 0))
    make_public(alice, page_of("https://show2.example/feed.xml"))
    page = text_of(Visitor().get(PAGE))
    assert "Show 2" in page
    assert not any(text in page for text in ("Aventura", "Walks", "b.example", "/avatars/"))
    tell(visitor, is_public="on")
    page = text_of(Visitor().get("/u/aLICE"))
    for text in (
        "Alice Aventura",
        "Walks and listens.<br>Mostly walks.",
        'href="https://alice.example/about"',
        'rel="nofollow ugc noopener noreferrer"',
        f"/avatars/{profile.avatar}/300.webp",
        'property="og:title" content="Alice Aventura"',
        'class="p-name"',
    ):
        assert text in page, text
    assert Visitor().get(f"/avatars/{profile.avatar}/96.webp").status_code == 200


def test_it_shows_what_is_public_and_nothing_else(alice: User) -> None:
    feeds = [show(1, 2), show(2, 1)]
    follow(alice, *feeds)
    for feed in feeds:
        for episode in feed.episodes.all():
            hear(alice, episode, 60)
    lists = {
        name: CreatePlaylist(
            user_id=alice.pk, now=timezone.now(), playlist_id=uuid4(), name=name, is_public=name == "Walks"
        )
        for name in ("Walks", "Naps")
    }
    for command in lists.values():
        dispatch(command, Origin())
    bring_up_to_date()
    make_public(alice, page_of(feeds[0]))
    reader = Visitor(alice)
    with counting() as since:
        assert reader.get(PAGE).status_code == 200
        assert since() <= 12
    Visitor(alice).send(
        page_of_episode(feeds[0].episodes.get(guid="1-1")).replace("?", "/privacy?"), {"level": "anonymous"}
    )
    bring_up_to_date()
    page = text_of(Visitor().get(PAGE))
    assert "<bdi>Alice</bdi> played <bdi>Episode 1-0</bdi>" in page
    assert f"{PAGE}/playlists/{lists['Walks'].playlist_id}" in page
    assert not any(text in page for text in ("Episode 1-1", "Show 2", "Episode 2-0", "Naps"))
    walks = lists["Walks"].playlist_id
    assert Visitor().get(f"{PAGE}/playlists/{walks}").status_code == 200
    hide = UpdatePlaylist(user_id=alice.pk, now=timezone.now(), playlist_id=walks, is_public=False)
    dispatch(hide, Origin())
    assert "Walks" not in text_of(Visitor().get(PAGE))  # though no projector has run


def test_who_shows_nothing_cannot_be_told_from_nobody(alice: User, bob: User) -> None:
    feed = show(1, 1)
    follow(alice, feed)
    hear(alice, feed.episodes.get(), 60)
    bring_up_to_date()
    Visitor(bob).send(SETTINGS, {**TOLD, "is_public": "on"})
    User.objects.filter(pk=bob.pk).update(is_active=False)
    nobody, asked = Visitor().get("/u/Nobody"), {}
    for name in ("Nobody", "Alice", "Bob", "x", "y" * 300, "%00", "<b>"):
        with counting() as since:
            answer = Visitor().get(f"/u/{name}")
            asked[name] = since()
        assert (answer.status_code, answer.content) == (404, nobody.content), name
        assert set(answer.headers) == set(nobody.headers)
    assert asked["Alice"] == asked["Bob"] == asked["Nobody"] <= 12


def test_hostile_words_are_shown_as_text(alice: User) -> None:
    visitor = Visitor(alice)
    tell(visitor, public_name="<script>alert(1)</script>", bio=HOSTILE, is_public="on")
    page = text_of(Visitor().get(PAGE))
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"public_name": "Al\u202eice"}, "There are characters in it that nobody can see."),
        ({"public_name": "x" * 81}, "80"),
        ({"bio": "x" * 1_001}, "1000"),
        ({"links": "https://a.example\njavascript:alert(1)"}, "Line 2 is no address of a page."),
        ({"links": "\n".join(f"https://{number}.example" for number in range(6))}, "Five links at most."),
        ({"links": f"https://a.example/{'x' * 500}"}, "The address in line 1 is too long."),
    ],
)
def test_each_fault_stands_beside_its_field_and_what_was_typed_stays(
    alice: User, fields: dict[str, str], fault: str
) -> None:
    answer = tell(Visitor(alice), **fields)
    assert answer.status_code == 400
    assert fault in text_of(answer)
    assert "Mostly walks." in text_of(answer) or "bio" in fields
    assert not Profile.objects.exists()


def test_a_picture_is_encoded_anew_replaced_and_removed(alice: User) -> None:
    visitor = Visitor(alice)
    tell(visitor, picture=file(turned()), is_public="on")
    first = Profile.objects.get().avatar
    kept = {each.size: bytes(each.data) for each in Avatar.objects.all()}
    assert set(kept) == {96, 300, 600}
    for size, data in kept.items():
        with Image.open(BytesIO(data)) as image:
            assert (image.format, max(image.size) <= size, dict(image.getexif())) == ("WEBP", True, {})
    tell(visitor, picture=file(picture("PNG", (50, 50))), is_public="on")
    second = Profile.objects.get().avatar
    assert first != second
    assert Avatar.objects.count() == 3
    assert Visitor().get(f"/avatars/{first}/300.webp").status_code == 404
    assert Visitor().get(f"/avatars/{second}/97.webp").status_code == 404
    answer = Visitor().get(f"/avatars/{second}/96.webp")
    assert (answer["Content-Type"], answer["Cache-Control"]) == ("image/webp", "private, no-cache")
    tell(visitor, no_picture="on", is_public="on")
    assert not Avatar.objects.exists()
    assert Visitor().get(f"/avatars/{second}/96.webp").status_code == 404


def test_what_is_no_picture_is_refused_and_the_old_one_stays(alice: User) -> None:
    visitor = Visitor(alice)
    tell(visitor, picture=file(picture("PNG", (50, 50))))
    before = Profile.objects.get().avatar
    bomb = picture("PNG", (8_000, 6_000), colour=0, mode="1")
    for data, fault in (
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "This is no picture that can be read."),
        (picture("PNG")[:200], "This is no picture that can be read."),
        (bomb, "This is no picture that can be read."),
        (bytes(5 * 1024 * 1024 + 1), "5 MB at most"),
    ):
        answer = tell(visitor, picture=file(data))
        assert (answer.status_code, fault in text_of(answer)) == (400, True)
    assert Profile.objects.get().avatar == before
    assert Avatar.objects.count() == 3


def test_nothing_is_left_of_an_erased_profile(alice: User) -> None:
    tell(Visitor(alice), picture=file(picture("PNG", (50, 50))), is_public="on")
    erasure.begin(alice.pk, timezone.now())
    assert Visitor().get(PAGE).status_code == 404
    counts = erasure.complete(alice.pk, erase_history)
    assert (counts["profiles"], counts["avatars"]) == (1, 3)
    assert not Profile.objects.exists()
    assert not Avatar.objects.exists()


def test_people_are_named_as_they_wish(alice: User, bob: User) -> None:
    tell(Visitor(alice), is_public="on")
    tell(Visitor(bob))
    found = profiles.people([alice.pk, bob.pk, uuid4()])
    assert {person.username: person.name for person in found.values()} == {
        "Alice": "Alice Aventura",
        "Bob": "Bob",
    }


def test_a_podcast_names_those_who_follow_it_in_public(alice: User, bob: User) -> None:
    feed = show(1, 1)
    for user in (alice, bob):
        follow(user, feed)
    make_public(bob, page_of(feed))
    tell(Visitor(bob), public_name="Bobby", is_public="on")
    page = text_of(Visitor(alice).get(f"{page_of(feed)}/listeners"))
    assert 'href="/u/Bob"' in page
    assert "<bdi>Bobby</bdi>" in page
    assert "/u/Alice" not in page
    User.objects.filter(pk=bob.pk).update(is_active=False)
    assert "Who follows it in public" not in text_of(Visitor(alice).get(f"{page_of(feed)}/listeners"))
