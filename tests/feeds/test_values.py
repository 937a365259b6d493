"""Values as publishers write them; one that makes no sense is left out, and is never an error."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from feeds.read import values
from feeds.read.charset import to_utf8


def test_durations_are_seconds() -> None:
    written = {
        "90": 90,
        "0": 0,
        "1:30": 90,
        "1:02:03": 3_723,
        " 01:02:03 ": 3_723,
        "1:02:03.9": 3_723,
        "12.7": 12,
        "99:99:99": 362_439,
        "10000000": 10_000_000,
        "10000001": None,
        "-1": None,
        "abc": None,
        "": None,
        "1:2:3:4": None,
        ":30": None,
        "1h 2m": None,
        "１２": None,
        "1" + "0" * 30: None,
        "9" * 5_000: None,
    }
    assert {text: values.duration(text) for text in written} == written


def test_dates_are_read_as_they_are_really_written() -> None:
    noon = datetime(2020, 10, 9, 12, 0, tzinfo=UTC)
    for text in (
        "Fri, 09 Oct 2020 12:00:00 GMT",
        "Mon, 9 Oct 2020 12:00:00 +0000",  # a wrong weekday
        "Friday, 09 Oct 2020 14:00:00 +0200",
        "09 Oct 20 12:00 UT",
        "Fri, 09 Oct 2020 08:00:00 EDT",
        "Fri, 09 October 2020 12:00:00 Z",
        "  Fri,  09 Oct 2020   07:00:00 -0500 ",
        "2020-10-09T12:00:00Z",
        "2020-10-09t14:00:00.123+02:00",
        "2020-10-09 12:00:00",
        "20201009T120000Z",
    ):
        assert values.date(text) == noon, text
    assert values.date("2020-10-09") == datetime(2020, 10, 9, tzinfo=UTC)
    assert values.date("Thu, 08 Oct 2020 24:00:00 GMT") == datetime(2020, 10, 9, tzinfo=UTC)
    assert values.date("Wed, 31 Dec 2016 23:59:60 GMT") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert values.date("Thu, 01 Jan 2099 00:00:00 GMT") == datetime(2099, 1, 1, tzinfo=UTC)


def test_impossible_dates_are_none() -> None:
    for text in (
        "",
        "yesterday",
        "Fri, 32 Oct 2020 12:00:00 GMT",
        "Fri, 09 Oct 2020 25:00:00 GMT",
        "Fri, 09 Oct 2020 12:00:00 +9999",
        "Thu, 31 Dec 1989 23:59:59 GMT",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-12:00",
        "2020-13-01",
        "-0044-03-15",
        "٢٠٢٠-١٠-٠٩",
        "1" * 10_000,
    ):
        assert values.date(text) is None, text


def test_words_for_yes_and_no_have_one_meaning() -> None:
    explicit = {"yes": True, "TRUE": True, " Explicit ": True, "no": False, "false": False, "Clean": False}
    assert {text: values.explicit(text) for text in explicit} == explicit
    assert [values.explicit(text) for text in ("", "0", "maybe", "ja")] == [None] * 4
    assert [values.yes(text) for text in ("yes", " YES", "true", "no", "")] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_whole_numbers_have_bounds() -> None:
    written = {"0": 0, " 12 ": 12, "1000000": 1_000_000, "1000001": None, "-1": None, "1.5": None, "²": None}
    assert {text: values.integer(text) for text in written} == written
    assert values.integer(str(2**53), 2**53) == 2**53
    assert values.integer("9" * 5_000, 2**53) is None


def test_web_addresses_are_absolute_and_http() -> None:
    base = "https://show.example/feeds/one.xml"
    written = {
        "http://a.example/x.mp3": "http://a.example/x.mp3",
        "HTTPS://A.example": "https://A.example",
        " https://a.example/x \n": "https://a.example/x",
        "x.mp3": "https://show.example/feeds/x.mp3",
        "/x.mp3": "https://show.example/x.mp3",
        "//cdn.example/x.mp3": "https://cdn.example/x.mp3",
        "?a=1&b=2": "https://show.example/feeds/one.xml?a=1&b=2",
        "https://a.example/two words.mp3": "https://a.example/two%20words.mp3",
        "https://a.example/é.mp3": "https://a.example/é.mp3",
        "ftp://a.example/x.mp3": "",
        "javascript:alert(1)": "",
        "data:text/html,x": "",
        "file:///etc/passwd": "",
        "mailto:a@b.example": "",
        "https://user:secret@a.example/x": "",
        "http:///x": "",
        "https://[::1/x": "",
        "https://[::1]:8000/x": "https://[::1]:8000/x",
        "https://a]b/x": "",
        "https://\u2100.example/x": "",
        "https://b\u00fccher.example/x": "https://b\u00fccher.example/x",
        "": "",
    }
    assert {text: values.resolve(base, text) for text in written} == written


def test_an_enclosure_is_of_the_type_that_is_declared_else_of_its_extension() -> None:
    assert values.media_type("audio/mpeg", "https://a.example/x.mp4") == "audio/mpeg"
    assert values.media_type("", "https://a.example/x.MP3?token=a.b") == "audio/mpeg"
    assert values.media_type("mp3", "https://a.example/x.m4a") == "audio/mp4"
    assert values.media_type("", "https://a.example/listen") == ""


@given(st.text())
def test_no_text_makes_an_error(text: str) -> None:
    values.date(text)
    values.duration(text)
    values.play_time(text)
    values.integer(text)
    values.uuid(text)
    values.explicit(text)
    values.resolve("https://show.example/", text)
    values.media_type(text, "https://show.example/" + text)
    values.guid(text)


@given(st.integers(631_238_400, 4_102_444_800), st.integers(-720, 840))
def test_every_usual_date_is_read_exactly(seconds: int, minutes: int) -> None:
    moment = datetime.fromtimestamp(seconds, UTC)
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    local = datetime.fromtimestamp(moment.timestamp() + minutes * 60, UTC)
    zone = f"{sign}{offset // 60:02}{offset % 60:02}"
    assert values.date(f"{local:%a, %d %b %Y %H:%M:%S} {zone}") == moment
    assert values.date(f"{local:%Y-%m-%dT%H:%M:%S}{zone[:3]}:{zone[3:]}") == moment


def test_a_charset_is_believed_if_it_decodes_the_whole_body() -> None:
    russian, french, japanese = "<a>Подкаст</a>", "<a>été</a>", "<a>日本語</a>"
    declared = '<?xml version="1.0" encoding="{}"?>'
    for body, content_type, text in (
        (russian.encode("cp1251"), "text/xml; charset=windows-1251", russian),
        (russian.encode("koi8-r"), 'text/xml; Charset="KOI8-R"', russian),
        ((declared.format("koi8-r") + russian).encode("koi8-r"), "", declared.format("koi8-r") + russian),
        # the header takes precedence over the declaration, and the byte order mark over both
        ((declared.format("utf-8") + french).encode("latin-1"), "text/xml; charset=iso-8859-1",
         declared.format("utf-8") + french),
        (b"\xef\xbb\xbf" + russian.encode(), "text/xml; charset=windows-1251", russian),
        (russian.encode("utf-16"), "text/xml; charset=utf-8", russian),
        (russian.encode("utf-16-be"), "", russian),
        # valid UTF-8 is never taken for a single-byte encoding, whatever is declared
        (french.encode(), "text/xml; charset=iso-8859-1", french),
        ((declared.format("iso-8859-1") + french).encode(), "", declared.format("iso-8859-1") + french),
        (japanese.encode("shift_jis"), "text/xml; charset=Shift_JIS", japanese),
        # declaring UTF-16 by mistake is common
        ((declared.format("utf-16") + french).encode(), "", declared.format("utf-16") + french),
        (french.encode(), "text/xml; charset=unheard-of", french),
        (french.encode(), "text/xml; charset=rot13", french),
    ):  # fmt: skip
        assert to_utf8(body, content_type) == (text.encode(), False), (body, content_type)


def test_a_charset_that_is_not_believed_is_guessed() -> None:
    assert to_utf8("<a>été</a>".encode("cp1252"), "text/xml") == ("<a>été</a>".encode(), True)
    assert to_utf8("<a>été</a>".encode("cp1252"), "text/xml; charset=utf-8") == ("<a>été</a>".encode(), True)
    # a body that was cut in the middle of a character is still UTF-8
    text, is_guessed = to_utf8("<a>été, août, été</a><b>é".encode()[:-1], "")
    assert (text.decode(), is_guessed) == ("<a>été, août, été</a><b>\ufffd", True)
    hidden = "<a>x</a>".encode("utf-7") + "é".encode("cp1252")
    assert to_utf8(hidden, "text/xml; charset=utf-7")[1] is True


@given(st.binary(max_size=200), st.sampled_from(["", "utf-8", "utf-16", "utf-7", "koi8-r", "idna", "zip"]))
def test_any_bytes_become_utf_8(body: bytes, charset: str) -> None:
    to_utf8(body, f"text/xml; charset={charset}")[0].decode()
