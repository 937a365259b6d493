"""Times in an episode's notes are links that play from there, and nothing of the notes is lost."""

import re

from hypothesis import given
from hypothesis import strategies as st

from feeds.html import safe_html
from web.show_notes import MOST, with_places

PATH = "/episodes/abc?feed=def"


def link(start: int, text: str) -> str:
    address = f"/episodes/abc?feed=def&amp;t={start}"
    return f'<a class="figures" href="{address}" data-plays data-at="{start}">{text}</a>'


def test_times_lead_to_their_places() -> None:
    notes = safe_html("<p>00:00-12:07 Hello<br>(12:07) Rain, 1:02:03: the end</p>")
    hello, rain, end = f"{link(0, '00:00')}-{link(727, '12:07')}", link(727, "12:07"), link(3_723, "1:02:03")
    expected = f"<p>{hello} Hello<br>({rain}) Rain, {end}: the end</p>"
    assert with_places(notes, PATH, 4_000) == expected


def test_what_is_no_place_in_the_episode_stays_as_it_is() -> None:
    for text in (
        "at 20:30 tonight",
        "1:75:00",
        "2026-01-01T10:20:30",
        "12:345",
        "ab12:07",
        "10:00/11:00",
        "7:5",
    ):
        notes = safe_html(f"<p>{text}</p>")
        assert with_places(notes, PATH, 600) == notes, text


def test_a_link_of_the_notes_stays_one() -> None:
    notes = safe_html('<a href="https://show.example/?t=1:02" title="x > 1:03"><b>1:04</b></a> 1:05')
    assert with_places(notes, PATH, None) == notes.replace("</a> 1:05", f"</a> {link(65, '1:05')}")


def test_a_page_of_times_has_so_many_links_and_no_more() -> None:
    assert with_places("0:01 " * 1_000, PATH, None).count("<a ") == MOST


@given(
    st.text()
    | st.lists(
        st.sampled_from(["<p>", "<a href='x:1:02'>", "</a>", "1:02", "<", ">", '"', "&", " 10:00 "])
    ).map("".join)
)
def test_the_notes_are_whole_without_the_links(text: str) -> None:
    notes = safe_html(text)
    marked = with_places(notes, PATH, None)
    assert re.sub(r'<a class="figures"[^>]*>([\d:]+)</a>', r"\1", marked) == notes
