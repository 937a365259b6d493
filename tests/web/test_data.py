"""/settings/data: exporting everything of a listener as a file, and importing it."""

import json

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import User
from eventstore import dispatcher
from tests.projecting import bring_up_to_date
from tests.web.library import follow, hear, show
from tests.web.listing import playlist
from tests.web.people import Response, Visitor, text_of

PAGE = "/settings/data"


def exported(visitor: Visitor, query: str = "") -> bytes:
    response = visitor.get(f"{PAGE}/export.json{query}")
    assert response["Content-Disposition"] == 'attachment; filename="balados-export.json"'
    assert "no-store" in response["Cache-Control"]
    return response.content


def bring(visitor: Visitor, content: bytes) -> Response:
    file = SimpleUploadedFile("balados-export.json", content, "application/json")
    return visitor.send(PAGE, {"file": file})


def live_a_little(user: User) -> None:
    feed = show(1, 2)
    follow(user, feed)
    hear(user, feed.episodes.get(guid="1-0"), 754)
    playlist(user, feed.episodes.get(guid="1-1"))


def test_what_is_taken_out_comes_in_elsewhere_and_only_once(alice: User, bob: User) -> None:
    live_a_little(alice)
    content = exported(Visitor(alice))
    found = json.loads(content)
    assert (found["username"], len(found["subscriptions"]), len(found["play_statuses"])) == ("Alice", 1, 1)
    assert found["events"]
    assert json.loads(exported(Visitor(alice), "?events=false"))["events"] == []
    page = bring(Visitor(bob), content)
    assert page.status_code == 200
    assert "All of it was here already." not in text_of(page)
    bring_up_to_date()
    assert "Show 1" in text_of(Visitor(bob).get("/subscriptions"))
    theirs, his = (dispatcher.state_of(user.pk).read_whole() for user in (alice, bob))
    assert his.subscriptions.keys() == theirs.subscriptions.keys()
    assert his.plays == theirs.plays
    again = bring(Visitor(bob), content)
    assert "All of it was here already." in text_of(again)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", "There is no export of Balados in this file"),
        (b'{"format": "balados-export", "version": 1, "play_statuses": [{}]}', "<code>play_statuses.0."),
        (b"no JSON", "This file cannot be read"),
        (b"\xff\xfe", "This file cannot be read"),
        (b"[" * 100_000, "There is no export of Balados in this file"),
        (b"", "The submitted file is empty"),
    ],
    ids=["another", "changed", "text", "bytes", "deep", "empty"],
)
def test_what_is_no_export_is_said_and_changes_nothing(alice: User, content: bytes, message: str) -> None:
    page = bring(Visitor(alice), content)
    assert page.status_code == 400
    assert message in text_of(page)


def test_an_address_that_can_never_be_one_is_named_and_the_rest_comes_in(alice: User) -> None:
    live_a_little(alice)
    document = json.loads(exported(Visitor(alice), "?events=false"))
    document["subscriptions"].append(
        {**document["subscriptions"][0], "rss_source_feed": "ZnRwOi8veC5leGFtcGxlLw=="}
    )
    page = bring(Visitor(alice), json.dumps(document).encode())
    assert (page.status_code, "<code>subscriptions.1" in text_of(page)) == (200, True)
