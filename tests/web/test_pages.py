"""Rules for every page, and the few pages that need no account."""

import gzip
import re
from itertools import product
from pathlib import Path

import pytest
from django.urls import URLPattern, get_resolver
from pytest_django.fixtures import Settings

from accounts.models import User
from accounts.scopes import SCOPES, WORDS
from eventstore.domain.identifiers import feed_of_url, item_of
from tests.web.people import Visitor, text_of
from web.addresses import in_path

FEED = in_path(feed_of_url("https://feeds.example.org/show.xml"))
ITEM = in_path(item_of("guid", ""))
ROOT = Path(__file__).parent.parent.parent
PRIVATE = {"/setup", "/users/register", "/users/log_in", "/authorize", "/apps", "/subscriptions"}


def own_pages() -> list[str]:
    """Return the paths of our pages but pictures, from the URL resolver: new ones are checked too."""
    included = [entry for entry in get_resolver().url_patterns if str(entry.pattern) == ""]
    patterns = [pattern for entry in included for pattern in entry.url_patterns]  # type: ignore[union-attr]
    paths = [f"/{pattern.pattern}" for pattern in patterns if isinstance(pattern, URLPattern)]
    filled = [path.replace("<feed:feed>", FEED).replace("<item:item>", ITEM) for path in paths]
    return [path for path in filled if not set("<^") & set(path)]


def templates() -> list[Path]:
    return sorted((ROOT / "templates").rglob("*.html"))


def test_the_pages_are_found() -> None:
    assert {"/", "/setup", "/subscriptions", "/app-creator", "/health/ready"} <= set(own_pages())


def test_no_page_can_be_framed(operator: User, alice: User) -> None:
    stranger, listener = Visitor(), Visitor(alice)
    for path in (*own_pages(), "/nothing", "/admin/login/", "/health/live"):
        for ask in (stranger.get, stranger.post, listener.get, listener.post):
            response = ask(path)
            assert response["X-Frame-Options"] == "DENY", path
            assert response["X-Content-Type-Options"] == "nosniff", path
            policy = response["Content-Security-Policy"]
            assert "frame-ancestors 'none'" in policy, path
            assert "default-src 'none'" in policy, path
            assert "unsafe" not in policy, path


@pytest.mark.parametrize("path", sorted(PRIVATE))
def test_pages_with_secrets_are_kept_by_nobody(operator: User, alice: User, path: str) -> None:
    for visitor in (Visitor(), Visitor(alice)):
        response = visitor.get(path)
        if response.status_code == 404:  # /setup, once it is done
            continue
        assert response["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response["Cache-Control"]


def test_the_set_up_is_kept_by_nobody() -> None:
    response = Visitor().get("/setup?token=secret")
    assert response["Referrer-Policy"] == "no-referrer"
    assert "no-store" in response["Cache-Control"]


def test_the_policy_leaves_no_room_for_scripts_and_styles_in_a_page() -> None:
    forbidden = re.compile(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=|javascript:")
    pages = [path for path in templates() if path.parent.name != "mails"]  # mail programs know no style sheet
    assert [path.name for path in pages if forbidden.search(path.read_text())] == []


def test_sheets_and_scripts_are_small_together() -> None:
    """Our own files, compressed as a proxy sends them; the library that comes with them has 16 KB."""
    files = [path for path in (ROOT / "static").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".css", ".js", ".svg", ".png"}
    own = [path for path in files if path.suffix != ".png"]
    assert sum(len(gzip.compress(path.read_bytes())) for path in own) < 60_000
    assert all(len(path.read_text().splitlines()) < 200 for path in own if path.suffix == ".js")


@pytest.mark.parametrize("sheet", sorted((ROOT / "static").glob("*.css")), ids=lambda path: path.name)
def test_every_rule_of_a_sheet_is_closed(sheet: Path) -> None:
    """A browser ignores everything that follows an unclosed rule."""
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
    depth = 0
    for brace in re.findall("[{}]", text):
        depth += 1 if brace == "{" else -1
        assert 0 <= depth <= 2
    assert depth == 0


def test_the_style_guide_is_for_developers(alice: User, settings: Settings) -> None:
    assert Visitor(alice).get("/styleguide").status_code == 404
    settings.DEBUG = True
    assert "Style guide" in text_of(Visitor(alice).get("/styleguide"))


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "localhost:8000@evil.example", "a b"]
)
def test_another_host_name_is_refused(operator: User, host: str, caplog: pytest.LogCaptureFixture) -> None:
    for path in ("/", "/users/log_in", "/app-creator", "/health/ready"):
        caplog.clear()
        page = Visitor(HTTP_HOST=host).get(path)
        assert page.status_code == 400
        for text in (text_of(page), caplog.text):
            assert f"does not answer to the host name {host}." in text
            assert "ALLOWED_HOSTS" in text


def test_whatever_stands_for_the_host_is_harmless(caplog: pytest.LogCaptureFixture) -> None:
    host = "<script>\n\x1b[31m\u202e" + "x" * 5_000
    text = text_of(Visitor(HTTP_HOST=host).get("/"))
    assert "<script>" not in text
    assert not set(caplog.text) & {"\x1b", "\u202e"}
    assert len(text) + len(caplog.text) < 5_000


def test_links_come_from_the_settings_and_not_from_the_caller(settings: Settings) -> None:
    settings.PUBLIC_URL = "https://balados.example"
    page = text_of(Visitor(HTTP_HOST="127.0.0.1", HTTP_X_FORWARDED_HOST="evil.example").get("/app-creator"))
    assert 'data-instance="https://balados.example"' in page
    assert "evil.example" not in page
    assert "127.0.0.1:8000" not in page


def test_the_first_page_offers_what_can_be_done_next(alice: User) -> None:
    assert "not set up yet" in text_of(Visitor().get("/"))
    User.objects.filter(pk=alice.pk).update(is_superuser=True)
    assert "/users/register" in text_of(Visitor().get("/"))
    assert "Welcome" in text_of(Visitor(alice).get("/"))


def test_every_scope_has_words() -> None:
    assert set(WORDS) == set(SCOPES)
    assert len(set(WORDS.values())) == len(SCOPES)


def test_the_creator_offers_every_scope() -> None:
    page = text_of(Visitor().get("/app-creator"))
    assert set(re.findall(r'data-scope="([^"]+)"', page)) == set(SCOPES)


@pytest.mark.parametrize(
    "path", ["/nothing", "/users", "/users/log_in/", "/%00", "/..%2f", "/<script>", "/ü"]
)
def test_what_is_not_there_is_said_in_the_same_look(operator: User, path: str) -> None:
    response = Visitor().get(path)
    assert response.status_code == 404
    assert "There is nothing here" in text_of(response)
    assert "<script>" not in text_of(response)


def test_other_methods_are_refused(operator: User, alice: User) -> None:
    paths = [path for path in own_pages() if path != "/users/log_out"]
    for visitor, path in product((Visitor(), Visitor(alice)), paths):
        assert visitor.delete(path).status_code in (403, 405), path
        assert visitor.head(path).status_code == visitor.get(path).status_code, path


def test_whoever_finds_the_feed_client_in_a_log_reads_what_it_does(settings: Settings) -> None:
    settings.PUBLIC_URL = "https://balados.example"
    response = Visitor().get("/about/fetcher")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert "Balados at https://balados.example" in text_of(response)
    assert "Retry-After" in text_of(response)
