"""The translations of the pages. ``python -m tests.translations`` updates locale/ from the texts in the
templates and the code, and compiles it. The tests use the same functions to check that it is complete.

It is written in Python and does not use GNU gettext, which a machine may lack.
"""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

from babel.messages import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parent.parent
PO = ROOT / "locale" / "fr" / "LC_MESSAGES" / "django.po"
MO = PO.with_suffix(".mo")
PARTS = ("web", "accounts")
# templates for developers and administrators, who read English
IN_ENGLISH = ("web/styleguide.html", "admin/")
KEYWORDS = {
    "_": None,
    "gettext": None,
    "gettext_lazy": None,
    "gettext_noop": None,
    "ngettext": (1, 2),
    "ngettext_lazy": (1, 2),
    "pgettext": ((1, "c"), 2),
    "pgettext_lazy": ((1, "c"), 2),
}
_LITERAL = re.compile(r"""\b_\((["'])(.+?)\1\)""")
# marked texts, comments, and the block that contains the name of a CSS class
_MARKED = re.compile(
    r"{%\s*blocktranslate.*?{%\s*endblocktranslate\s*%}"
    r"|{%\s*block width\s*%}.*?{%\s*endblock\s*%}|{#.*?#}",
    re.DOTALL,
)
_TAG = re.compile(r"{%.*?%}|{{.*?}}", re.DOTALL)
_SPACED = re.compile(r" (?=[:;?!»])|(?<=«) ")
NO_BREAK = "\N{NO-BREAK SPACE}"
# attributes that people read or hear
SPOKEN = ("aria-label", "alt", "title", "placeholder")
# names that are the same in every language
NAMES = re.compile(
    r"\b(Balados|AntennaPod|gPodder|Kasts|Apple Podcasts|Overcast|API|CSV|OPML|pip install|manage\.py"
    r"|https)\b"
)
Text = str | tuple[str, ...]


def templates() -> list[Path]:
    """Every template whose texts are translated."""
    folder = ROOT / "templates"
    found = sorted(folder.rglob("*.html"))
    return [path for path in found if not str(path.relative_to(folder)).startswith(IN_ENGLISH)]


def catalog() -> Catalog:
    """Every text of the templates and the code that is marked for translation."""
    found = Catalog(locale="fr", project="Balados", charset="utf-8")
    for path in templates():
        for text, context in _in_template(path.read_text()):
            found.add(text, context=context)
    for path in sorted(path for part in PARTS for path in (ROOT / part).rglob("*.py")):
        for _, text, _, context in extract("python", io.BytesIO(path.read_bytes()), keywords=KEYWORDS):
            found.add(text, context=context)
    return found


def translated() -> Catalog:
    """Return the catalogue in locale/."""
    with PO.open("rb") as file:
        return read_po(file, locale="fr")


def compiled(source: Catalog) -> bytes:
    """Return the .mo file of a catalogue. Spaces before or after French punctuation, typed as ordinary ones,
    become non-breaking."""
    for message in source:
        if message.id:
            message.string = _unbroken(message.string)
    target = io.BytesIO()
    write_mo(target, source)
    return target.getvalue()


def _unbroken(text: Text | list[str] | None) -> Text:
    if isinstance(text, str):
        return _SPACED.sub(NO_BREAK, text)
    return tuple(_SPACED.sub(NO_BREAK, each) for each in text or ())


def unmarked(source: str) -> list[str]:
    """Return the texts of a template that are not translated, whatever the reader's language."""
    parser = _Texts()
    parser.feed(_TAG.sub(" ", _MARKED.sub(" ", source)))
    parser.close()
    return [text for text in parser.found if re.search(r"[^\W\d_]{2}", NAMES.sub("", text))]


def update() -> None:
    """Add new texts to the .po file, remove those that no longer exist, and compile it."""
    current = translated() if PO.exists() else Catalog(locale="fr", project="Balados", charset="utf-8")
    current.update(catalog(), no_fuzzy_matching=True)
    current.obsolete.clear()
    # otherwise every run would change the file
    current.creation_date = datetime(2026, 11, 28, tzinfo=UTC)
    current.last_translator = current.msgid_bugs_address = ""
    with PO.open("wb") as file:
        write_po(file, current, width=110, no_location=True, sort_output=True, omit_header=False)
    MO.write_bytes(compiled(translated()))


def missing(catalogue: Catalog) -> list[str]:
    """Return the texts of a catalogue that have no translation, or one that is not confirmed."""
    return [str(message.id) for message in catalogue if message.id and not _is_translated(message)]


def _is_translated(message: Message) -> bool:
    strings = message.string if isinstance(message.string, tuple | list) else [message.string]
    return all(strings) and not message.fuzzy


def _in_template(source: str) -> Iterator[tuple[Text, str | None]]:
    from django.template import engines
    from django.templatetags.i18n import BlockTranslateNode, TranslateNode

    nodes = engines["django"].from_string(source).template.nodelist  # type: ignore[attr-defined]
    for node in nodes.get_nodes_by_type(TranslateNode):
        yield node.filter_expression.var.literal, None
    for node in nodes.get_nodes_by_type(BlockTranslateNode):
        singular = node.render_token_list(node.singular)[0]
        if node.trimmed:
            singular = _trimmed(singular)
        if not node.plural:
            yield singular, None
            continue
        plural = node.render_token_list(node.plural)[0]
        yield (singular, _trimmed(plural) if node.trimmed else plural), None
    for literal in _LITERAL.finditer(source):
        yield literal[2], None


def _trimmed(text: str) -> str:
    from django.utils.translation import trim_whitespace

    return trim_whitespace(text)


class _Texts(HTMLParser):
    """Collects what a reader of a page sees or hears, except what is in ``code`` or ``pre``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attributes if name in SPOKEN and value]
        if tag in ("code", "pre", "script"):
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._within and self._within[-1] == tag:
            self._within.pop()

    def handle_data(self, text: str) -> None:
        if not self._within:
            self.found.append(text.strip())


if __name__ == "__main__":
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "balados.settings")
    django.setup()
    update()
    print(*missing(translated()), sep="\n")
