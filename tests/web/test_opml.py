"""Exporting and importing lists of podcasts as OPML files."""

from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import User
from projections import queries
from tests.projecting import bring_up_to_date
from tests.web.library import follow, page_of, show
from tests.web.people import Response, Visitor, text_of
from web import forms

IMPORT = "/subscriptions/import"
PAID = "https://www.patreon.com/rss/x?auth=0123456789abcdef0123456789abcdef"


def opml(*urls: str) -> str:
    rows = "\n".join(f'<outline text="{number}" xmlUrl="{url}"/>' for number, url in enumerate(urls))
    return f'<opml version="2.0"><body><outline text="Mornings">\n{rows}\n</outline></body></opml>'


def send(user: User, content: str | None) -> Response:
    fields = {} if content is None else {"file": SimpleUploadedFile("podcasts.opml", content.encode())}
    return Visitor(user).send(IMPORT, fields)


def facts(page: str) -> list[str]:
    main = page.partition("<main")[2].partition("</main>")[0]
    return [part.split("</dd>")[0] for part in main.split("<dd>")[1:]]


def test_a_list_is_followed_and_its_bad_rows_are_named(alice: User) -> None:
    urls = [f"https://show{number}.example/feed.xml" for number in range(30)]
    listed = opml(*urls, "ftp://old.example/", "https://a:b@closed.example/", "<x>".replace("<", "&lt;"))
    page = text_of(send(alice, listed))
    assert facts(page) == ["30", "0", "1", "3"]
    assert "Line 32" in page
    assert "This is no web address" in page
    assert "cannot be kept safe here" in page
    bring_up_to_date()
    assert len(queries.subscriptions(alice.pk).rows) == 30
    assert facts(text_of(send(alice, listed))) == ["0", "30", "1", "3"]


def test_a_long_address_that_is_refused_is_cut(alice: User) -> None:
    page = text_of(send(alice, opml("https://show.example/" + "x" * 3_000)))
    assert "Line " in page
    assert "https://show.example/xxxx" in page
    assert "x" * 300 not in page


def test_what_is_no_list_says_so_beside_its_field(alice: User) -> None:
    for content, message in [("hello", "no list of podcasts"), ("", "is empty"), (None, "required")]:
        answer = send(alice, content)
        assert answer.status_code == 400
        assert message in text_of(answer)
    too_large = send(alice, "x" * (forms.LARGEST_FILE + 1))
    assert "5 MB at most" in text_of(too_large)


def test_the_list_goes_out_without_what_is_secret(alice: User) -> None:
    follow(alice, show(1, 0, title="Slow Radio"))
    Visitor(alice).send(f"{page_of(PAID)}/follow", {})
    answer = Visitor(alice).get("/subscriptions.opml")
    assert answer["Content-Disposition"] == 'attachment; filename="balados-subscriptions.opml"'
    assert "Slow Radio" in text_of(answer)
    assert "patreon" not in text_of(answer)
    assert "patreon" in text_of(Visitor(alice).get("/subscriptions.opml", {"include": "secret"}))


def test_another_site_brings_nothing(alice: User) -> None:
    assert Visitor(alice).post(IMPORT, {}).status_code == 403
    assert Visitor().get("/subscriptions.opml")["Location"].startswith("/users/log_in")


def test_a_list_that_was_cut_off_says_so(alice: User) -> None:
    cut = '<opml version="2.0"><body>\n<outline xmlUrl="https://a.example/1"/>\n<outline xmlU'
    page = text_of(send(alice, cut))
    assert facts(page)[0] == "1"
    assert "Line 3: The file ends here, in the middle" in page
