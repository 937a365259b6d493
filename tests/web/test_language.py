"""Every page is shown completely in its reader's language."""

import ast
import re

from babel.messages import Catalog
from django import forms
from django.utils import translation
from django.utils.functional import Promise

from accounts.models import User
from tests import translations
from tests.web.library import NOW, follow, hear, page_of, page_of_episode, show
from tests.web.people import Visitor, text_of

FRENCH = {"Accept-Language": "fr-CA,fr;q=0.9,en;q=0.5"}


def language_of(page: str) -> str:
    found = re.search(r'<html lang="([a-z-]+)"', page)
    assert found
    return found[1]


def test_every_text_is_translated_and_no_translation_is_left_over() -> None:
    wanted, there = translations.catalog(), translations.translated()
    ids = {message.id for message in wanted if message.id}
    assert ids - {message.id for message in there} == set(), "run python -m tests.translations"
    assert {message.id for message in there if message.id} - ids == set()
    assert translations.missing(there) == []


def test_what_is_compiled_is_what_is_translated() -> None:
    assert translations.MO.read_bytes() == translations.compiled(translations.translated())


def test_a_translation_fills_in_what_its_text_does() -> None:
    names = re.compile(r"%\(\w+\)[sd]|\{\w+\}|<[^>]+>")
    for message in translations.translated():
        if not message.id:
            continue
        text = message.id[-1] if isinstance(message.id, tuple) else str(message.id)
        strings = message.string if isinstance(message.string, tuple) else (message.string,)
        for string in strings:
            assert sorted(names.findall(str(string))) == sorted(names.findall(text)), text


def test_no_text_of_a_template_is_unmarked() -> None:
    found = {path.name: translations.unmarked(path.read_text()) for path in translations.templates()}
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_an_unmarked_text_is_found() -> None:
    found = translations.unmarked('<p title="Over here">{% translate "Yes" %} No <code>cd</code> {{ x }}</p>')
    assert found == ["Over here", "No"]


def form_classes() -> list[type[forms.Form]]:
    from accounts import forms as accounts_forms
    from web import forms as web_forms

    members = [*vars(accounts_forms).values(), *vars(web_forms).values()]
    ours = ("accounts.forms", "web.forms")
    return [each for each in members if isinstance(each, type) and each.__module__ in ours]


def test_every_field_is_named_in_the_language_of_the_page() -> None:
    for form in form_classes():
        for name, field in form.base_fields.items():
            for text in (field.label, field.help_text):
                assert not text or isinstance(text, Promise), f"{form.__name__}.{name}"


def test_what_the_code_tells_is_marked() -> None:
    """The texts of messages and of form errors are marked for translation."""
    text_arguments = {"tell": 1, "add_error": 1, "ValidationError": 0, "success": 1}
    for part in translations.PARTS:
        for path in (translations.ROOT / part).rglob("*.py"):
            if path.name in ("styleguide.py",):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                place = text_arguments.get(name)
                if place is not None and len(node.args) > place:
                    text = node.args[place]
                    assert not isinstance(text, ast.Constant | ast.JoinedStr), f"{path}:{node.lineno}"


def test_a_page_is_in_the_language_that_the_browser_asks_for(operator: User) -> None:
    page = Visitor().get("/users/log_in", headers=FRENCH)
    assert language_of(text_of(page)) == "fr"
    assert "Se connecter" in text_of(page)
    assert page["Content-Language"] == "fr"
    assert "Accept-Language" in page["Vary"]
    assert language_of(text_of(Visitor().get("/users/log_in"))) == "en"
    assert language_of(text_of(Visitor().get("/users/log_in", headers={"Accept-Language": "de"}))) == "en"


def test_the_setting_of_the_listener_goes_before_it(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(language="en")
    assert language_of(text_of(Visitor(alice).get("/settings/account", headers=FRENCH))) == "en"
    User.objects.filter(pk=alice.pk).update(language="fr")
    assert language_of(text_of(Visitor(alice).get("/settings/account"))) == "fr"


def test_errors_are_told_in_it_too(operator: User) -> None:
    assert "Il n’y a rien ici" in text_of(Visitor().get("/nothing", headers=FRENCH))
    refused = Visitor().post("/users/log_in", {}, headers=FRENCH)
    assert "Le formulaire a expiré" in text_of(refused)


def test_the_api_and_the_administration_stay_in_english(operator: User) -> None:
    visitor = Visitor(operator)
    assert language_of(text_of(visitor.get("/settings/account", headers=FRENCH))) == "fr"
    assert translation.get_language() == "en"
    assert b"credentials were not provided" in visitor.get("/api/v1/me", headers=FRENCH).content
    assert "Done lately by administrators" in text_of(visitor.get("/admin/", headers=FRENCH))


def test_a_refusal_of_the_registration_is_in_french(operator: User) -> None:
    fields = {"username": "admin", "password1": "aaaaaaaaaaaa", "password2": "aaaaaaaaaaaa"}
    page = text_of(Visitor(headers=FRENCH).send("/users/register", fields))
    assert "Ce nom d’utilisateur est réservé." in page
    assert "au moins 4 caractères différents" in page


def test_no_page_of_a_listener_has_an_english_sentence_in_french(alice: User) -> None:
    feed = show(1, 3, title="Radio lente", author="Ada", description="", error="timeout", error_since=NOW)
    hear(alice, feed.episodes.get(guid="1-0"), 754)
    hear(alice, feed.episodes.get(guid="1-1"), 1_800, played=True)
    follow(alice, feed, show(2, 0, title="", state="new"))
    User.objects.filter(pk=alice.pk).update(language="fr")
    english = [text for text in texts(translations.translated()) if len(text.split()) > 1]
    visitor = Visitor(alice)
    pages = ["/", "/subscriptions", "/subscriptions?q=x", "/subscriptions/new", page_of(feed), "/history"]
    pages += ["/apps", "/settings/account", page_of_episode(feed.episodes.get(guid="1-0")), "/nothing"]
    for path in pages:
        page = text_of(visitor.get(path))
        assert '<html lang="fr">' in page
        assert [text for text in english if f">{text}<" in page or f'"{text}"' in page] == [], path


def texts(catalogue: Catalog) -> list[str]:
    """Return the English texts without those that are the same in French and those with placeholders."""
    found = [(message.id, message.string) for message in catalogue if isinstance(message.id, str)]
    return [text for text, string in found if text and text != string and "%(" not in text]
