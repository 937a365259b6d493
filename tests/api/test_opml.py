"""OPML over HTTP: exporting what is followed, and importing lists of other programs in one append."""

from typing import Any

from django.db import connections
from django.http import HttpResponse
from lxml import etree

from eventstore.domain.identifiers import feed_of_url
from feeds.models import Feed
from tests.api.devices import Device, code_of, count_events, document, faults, feed, unharmed
from tests.feeds.known import known_feed

SECRET = "https://www.patreon.com/rss/show?auth=0123456789abcdef0123456789abcdef"
KIND = "text/x-opml"


def row(number: int, **attributes: str) -> str:
    more = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<outline type="rss" xmlUrl="https://example.org/{number}.xml"{more}/>'


def folder(name: str, *inside: str) -> str:
    return f'<outline text="{name}">{"".join(inside)}</outline>'


def opml(*outlines: str) -> bytes:
    return f'<opml version="2.0"><head/><body>{"".join(outlines)}</body></opml>'.encode()


def send(device: Device, body: bytes, query: str = "", kind: str = KIND, **headers: str) -> HttpResponse:
    return device.send("POST", f"subscriptions.opml{query}", body, kind, **headers)


def imported(device: Device, *outlines: str, query: str = "") -> dict[str, Any]:
    answer = send(device, opml(*outlines), query)
    assert answer.status_code == 200, answer.content
    return document(answer)


def exported(device: Device, query: str = "") -> bytes:
    answer = device.get(f"subscriptions.opml{query}")
    assert answer.status_code == 200, answer.content
    return answer.content


def tree(content: bytes) -> list[Any]:
    """Return the titles of feeds; a folder becomes a dictionary of its name and list."""

    def inside(element: etree._Element) -> list[Any]:
        return [
            outline.get("text") if outline.get("xmlUrl") else {outline.get("text"): inside(outline)}
            for outline in element
        ]

    body = etree.fromstring(content).find("body")
    assert body is not None
    return inside(body)


def followed(device: Device) -> set[str]:
    return {entry["rss_source_feed"] for entry in device.sync()["data"]["subscriptions"]}


def collections(device: Device) -> dict[str, list[str]]:
    """Return the feeds of each collection except the default one."""
    return {
        entry["name"]: [member["rss_source_feed"] for member in entry["feeds"]]
        for entry in device.sync()["data"]["collections"]
        if not entry["is_default"]
    }


def test_every_good_row_is_followed_and_every_bad_one_is_named(phone: Device) -> None:
    report = imported(phone, row(1), "\n", '<outline xmlUrl="ftp://example.org/x"/>', row(2), row(1))
    assert report == {
        "status": "success",
        "imported": 2,
        "already": 0,
        "folders": 0,
        "bad": [
            {
                "line": 2,
                "url": "ftp://example.org/x",
                "code": "scheme",
                "detail": "Not an absolute http or https URL.",
            }
        ],
    }
    assert followed(phone) == {feed(1), feed(2)}


def test_the_same_list_twice_records_nothing(phone: Device) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(3)})
    list_ = (row(1), folder("Gym", row(2), row(3)), folder("Empty"))
    first = imported(phone, *list_)
    assert (first["imported"], first["already"], first["folders"]) == (2, 1, 2)
    before, known = count_events(), collections(phone)
    assert known == {"Gym": [feed(2), feed(3)], "Empty": []}
    second = imported(phone, *list_)
    assert (second["imported"], second["already"], second["folders"]) == (0, 3, 2)
    assert (count_events(), collections(phone)) == (before, known)


def test_a_feed_that_was_left_is_followed_again_and_its_spelling_does_not_matter(
    phone: Device,
) -> None:
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    phone.delete(f"subscriptions/{feed(1)}")
    assert imported(phone, row(1))["imported"] == 1
    again = '<outline xmlUrl="HTTPS://EXAMPLE.org:443/1.xml"/>'
    assert imported(phone, again)["already"] == 1
    assert followed(phone) == {feed(1)}


def test_folders_join_the_collections_of_their_names(phone: Device) -> None:
    gym = "11111111-1111-4111-8111-111111111111"
    phone.post("collections", {"id": gym, "name": "Gym", "color": "#2f6f4e", "description": "Loud"})
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    phone.post(f"collections/{gym}/feeds", {"rss_source_feed": feed(1)})
    report = imported(phone, folder("GYM", row(1), row(2)), folder("All Subscriptions", row(3)))
    assert (report["imported"], report["folders"]) == (2, 2)
    assert collections(phone) == {"Gym": [feed(1), feed(2)]}
    (entry,) = [one for one in phone.sync()["data"]["collections"] if not one["is_default"]]
    assert (entry["id"], entry["color"], entry["description"]) == (gym, "#2f6f4e", "Loud")
    imported(phone, folder("Other", row(4)), query="?folders=ignore")
    assert list(collections(phone)) == ["Gym"]
    assert feed(4) in followed(phone)


def test_10_000_rows_are_one_append(phone: Device) -> None:
    before = appends()
    report = imported(
        phone, *(folder(f"Folder {part}", *map(row, range(part, 9_990, 9))) for part in range(9))
    )
    assert (report["imported"], report["already"], report["folders"]) == (9_990, 0, 9)
    assert count_events("UserSubscribed", "FeedAddedToCollection") == 2 * 9_990
    assert len(appends() - before) == 1


def appends() -> set[Any]:
    """Return the ids of the transactions in which events were recorded."""
    with connections["events"].cursor() as cursor:
        cursor.execute("SELECT DISTINCT xmin::text FROM events.events")
        return set(cursor.fetchall())


def test_what_is_too_large_is_refused_with_the_limit_by_name(phone: Device) -> None:
    with unharmed(phone):
        for body, code, limit in (
            (opml(*map(row, range(10_001))), "too_many_outlines", "10,000 outlines"),
            (opml("<outline text='x'>" * 101 + "</outline>" * 101), "too_many_levels", "100 levels"),
            (b" " * (5 * 1024 * 1024 + 1), "too_large", "5 MiB"),
        ):
            answer = send(phone, body)
            assert (answer.status_code, code_of(answer)) == (413, code)
            assert limit in document(answer)["errors"][0]["detail"]


def test_what_is_no_opml_is_refused(phone: Device) -> None:
    with unharmed(phone):
        for body, code in (
            (b"", "not_opml"),
            (b"{}", "not_opml"),
            (b"<rss/>", "not_opml"),
            (b'<!DOCTYPE opml [<!ENTITY a "b">]><opml/>', "entities"),
        ):
            answer = send(phone, body)
            assert (answer.status_code, code_of(answer)) == (400, code), body
        for kind in ("application/json", "text/plain", "multipart/form-data; boundary=x", ""):
            assert send(phone, opml(row(1)), kind=kind).status_code == 415, kind
        assert faults(send(phone, opml(row(1)), "?folders=all")) == {"folders": "invalid"}


def test_other_types_of_xml_and_other_encodings_are_taken(phone: Device) -> None:
    body = '<opml><body><outline xmlUrl="https://example.org/1.xml" text="été"/></body></opml>'
    assert send(phone, body.encode("cp1252"), kind="application/xml; charset=windows-1252").status_code == 200
    assert send(phone, body.encode("utf-16"), kind="text/xml").status_code == 200
    assert followed(phone) == {feed(1)}


def test_a_malformed_list_is_read_as_well_as_it_can_be(phone: Device) -> None:
    answer = send(phone, opml(row(1), '<outline text="A & B&nbsp;C">', row(2))[:-12])
    assert (answer.status_code, document(answer)["imported"]) == (200, 2)
    assert list(collections(phone)) == ["A & B C"]


def test_lists_that_a_list_names_are_not_fetched(phone: Device) -> None:
    report = imported(phone, '<outline type="include" url="https://example.org/more.opml"/>', row(1))
    assert (report["imported"], [bad["code"] for bad in report["bad"]]) == (1, ["another_list"])


def test_a_repeat_under_the_same_key_gets_the_same_answer(phone: Device) -> None:
    key = "3f2b8c1e-0c67-4a8e-9f58-0f8f6a7f0001"
    first = send(phone, opml(row(1)), Idempotency_Key=key)
    assert send(phone, opml(row(1)), Idempotency_Key=key).content == first.content
    assert document(first)["imported"] == 1


def test_what_is_followed_goes_out_by_title_with_its_collections_as_folders(phone: Device) -> None:
    known_feed("https://example.org/1.xml", title="Beta", link="https://example.org/beta")
    known_feed("https://example.org/2.xml", title="=cmd|' /C calc'!A0 <b>\u202e")
    imported(phone, row(1), folder("Gym", row(2), row(3)), folder("B", row(3)))
    content = exported(phone)
    assert tree(content) == [
        "Beta",
        {"B": ["https://example.org/3.xml"]},
        {"Gym": ["=cmd|' /C calc'!A0 <b>\u202e", "https://example.org/3.xml"]},
    ]
    assert b'htmlUrl="https://example.org/beta"' in content
    assert exported(phone) == content
    answer = phone.get("subscriptions.opml")
    assert answer.headers["Content-Type"] == "text/x-opml; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="balados-subscriptions.opml"'
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert int(answer.headers["Balados-Position"]) > 0


def test_an_export_that_is_imported_is_exported_the_same(phone: Device, bobs: Device) -> None:
    known_feed("https://example.org/1.xml", title="Beta")
    known_feed("https://example.org/2.xml", title="Alpha")
    imported(phone, row(1), folder("Gym", row(2), row(3)), folder("B & C", row(3)), folder("Empty"))
    content = exported(phone)
    assert send(bobs, content).status_code == 200
    theirs = exported(bobs)
    assert theirs.partition(b"<body>")[2] == content.partition(b"<body>")[2]
    before = count_events()
    assert document(send(phone, content))["imported"] == 0
    assert exported(phone) == content
    assert count_events() == before


def test_secret_feeds_go_out_only_where_they_are_asked_for(phone: Device) -> None:
    phone.post("subscriptions", {"feed_url": SECRET})
    phone.post("subscriptions", {"rss_source_feed": feed(1)})
    assert b"patreon" not in exported(phone)
    assert SECRET.encode() in exported(phone, "?include=secret").replace(b"&amp;", b"&")
    assert phone.get("subscriptions.opml?include=all").status_code == 400


def test_of_nobody_an_empty_list_goes_out(phone: Device) -> None:
    assert tree(exported(phone)) == []
    assert Feed.objects.using("system").count() == 0
    assert feed_of_url("https://example.org/1.xml") == feed(1)
