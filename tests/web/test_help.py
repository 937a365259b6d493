"""/help, and that everything it mentions by name exists."""

import re
from pathlib import Path

import pytest

from accounts.models import User
from tests import translations
from tests.web.people import Visitor, text_of
from web import help as pages

DOCS = translations.ROOT / "docs"


def names_on_the_pages(language: str) -> set[str]:
    """Return the translatable texts, among them the names of buttons, links and headings."""
    names: set[str] = set()
    for message in translations.translated():
        text = message.id if language == "en" else message.string
        names |= {text} if isinstance(text, str) else set(text or ())
    return names


@pytest.mark.parametrize(("language", "file"), pages.PAGES.items())
def test_what_stands_in_bold_is_called_so_on_the_pages(language: str, file: str) -> None:
    named = set(re.findall(r"\*\*(.+?)\*\*", (DOCS / file).read_text().replace("\n", " ")))
    assert len(named) > 10
    assert named - names_on_the_pages(language) == set()


def test_both_languages_have_the_same_sections() -> None:
    english, french = (pages.guide(language) for language in ("en", "fr"))
    assert len(english.sections) == len(french.sections)
    assert english.content.count("<strong>") == french.content.count("<strong>")


def test_how_podcast_apps_are_set_up_is_told_in_both_languages(operator: User) -> None:
    english, french = (pages.guide(language, "clients") for language in ("en", "fr"))
    assert len(english.sections) == len(french.sections)
    assert "<h1>Podcast apps with Balados</h1>" in text_of(Visitor().get("/help/podcast-apps"))
    page = text_of(Visitor().get("/help/podcast-apps", headers={"Accept-Language": "fr"}))
    assert "Les applications de podcasts avec Balados" in page


def test_it_is_there_for_everybody_in_the_readers_language(operator: User, alice: User) -> None:
    page = text_of(Visitor().get("/help"))
    assert "<h1>How to use Balados</h1>" in page
    assert 'href="#follow-a-podcast"' in page
    assert '<h2 id="follow-a-podcast">' in page
    assert "<strong>Podcasts</strong>" in page
    assert "Utiliser Balados" in text_of(Visitor().get("/help", headers={"Accept-Language": "fr"}))
    assert 'href="/help"' in text_of(Visitor(alice).get("/subscriptions"))


def test_nothing_in_it_runs() -> None:
    guide = pages.read("# T\n\n<script>alert(1)</script>\n\n[a](javascript:alert(1)) <b onclick=x>b</b>")
    assert "<script" not in guide.content
    assert "href" not in guide.content
    assert "<b" not in guide.content


def test_the_readme_leads_to_it() -> None:
    readme = Path(translations.ROOT / "README.md").read_text()
    for file in pages.PAGES.values():
        assert f"docs/{file}" in readme
