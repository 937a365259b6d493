"""/help: how to use the pages, in the reader's language, from docs/."""

from functools import lru_cache
from itertools import pairwise
from typing import Final, NamedTuple

import nh3
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import slugify
from django.views.decorators.http import require_safe
from markdown_it import MarkdownIt

from feeds.html import ELEMENTS

PAGES: Final = {"en": "listeners.md", "fr": "fr/auditeurs.md"}
CLIENTS: Final = {"en": "clients.md", "fr": "fr/applications.md"}
ATTRIBUTES: Final = {"a": {"href"}, "h2": {"id"}}


class Section(NamedTuple):
    anchor: str
    title: str


class Guide(NamedTuple):
    """A page of help. ``content``: sanitised HTML without the title."""

    title: str
    sections: list[Section]
    content: SafeString


@require_safe
def help_page(request: HttpRequest) -> HttpResponse:
    """Show the guide, whether or not the reader is logged in."""
    return render(request, "web/help/help.html", {"guide": guide(_language())})


@require_safe
def clients(request: HttpRequest) -> HttpResponse:
    """Show how to set up podcast apps, what works with each, and what does not."""
    return render(request, "web/help/help.html", {"guide": guide(_language(), "clients")})


@lru_cache(maxsize=2 * len(PAGES))
def guide(language: str, about: str = "pages") -> Guide:
    """Return a page of docs/ in a language of ``PAGES``; its headings have anchors."""
    files = CLIENTS if about == "clients" else PAGES
    return read((settings.BASE_DIR / "docs" / files[language]).read_text())


def _language() -> str:
    language = translation.get_language()
    return language if language in PAGES else "en"


def read(text: str) -> Guide:
    """Read a guide in Markdown: a title, then sections."""
    markdown = MarkdownIt("commonmark", {"html": False})
    tokens = markdown.parse(text)
    title, sections = "", []
    for token, inside in pairwise(tokens):
        if token.type == "heading_open" and token.tag == "h1":
            title = inside.content
        elif token.type == "heading_open" and token.tag == "h2":
            sections.append(Section(slugify(inside.content), inside.content))
            token.attrSet("id", sections[-1].anchor)
    html = markdown.renderer.render(tokens[3:] if title else tokens, markdown.options, {})
    clean = nh3.clean(html, tags=ELEMENTS, attributes=ATTRIBUTES, link_rel=None)
    return Guide(title, sections, mark_safe(clean))  # noqa: S308  sanitised just now
