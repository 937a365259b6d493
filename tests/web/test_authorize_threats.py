"""Attacks on the page on which users grant apps access."""

from json import dumps

import pytest

from accounts.approval import form_target
from accounts.models import AppGrant, User
from tests.apps import App
from tests.factories import UserFactory
from tests.web.asking import CASTAWAY, IMPOSTOR, ask, decide, main_of
from tests.web.people import Response, Visitor, text_of


def test_the_page_cannot_be_framed_or_kept(alice: User) -> None:
    token = CASTAWAY.authorization()
    visitor = Visitor(alice)
    for response in (
        ask(visitor, token),
        decide(visitor, token),
        ask(visitor, "a.b.c"),
        ask(Visitor(), token),
    ):
        assert response["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in response["Content-Security-Policy"]
        assert response["Referrer-Policy"] == "no-referrer"
        assert "no-store" in response["Cache-Control"]


def forged(visitor: Visitor) -> dict[str, Response]:
    """Return the answers to approvals that do not come from the page shown to this visitor."""
    form = {"token": CASTAWAY.authorization(), "decision": "approve"}
    visitor.get("/apps")
    own = visitor.cookies["csrftoken"].value
    stranger = Visitor()
    stranger.get("/users/log_in")
    theirs = stranger.cookies["csrftoken"].value
    json = dumps(form)
    return {
        "no CSRF token": visitor.post("/authorize", form),
        "another's": visitor.post("/authorize", {**form, "csrfmiddlewaretoken": theirs}),
        "from elsewhere": visitor.post(
            "/authorize", {**form, "csrfmiddlewaretoken": own}, HTTP_ORIGIN="https://evil.example"
        ),
        "from nowhere": visitor.post("/authorize", {**form, "csrfmiddlewaretoken": own}, HTTP_ORIGIN="null"),
        "text/plain": visitor.post("/authorize", json, content_type="text/plain"),
        "JSON": visitor.post("/authorize", json, content_type="application/json"),
    }


def test_nobody_approves_for_another(alice: User) -> None:
    for name, response in forged(Visitor(alice)).items():
        assert response.status_code == 403, name
        assert "The form has expired" in text_of(response)
        assert response["X-Frame-Options"] == "DENY"
    assert not AppGrant.objects.exists()


def test_the_session_is_not_sent_along_from_other_sites(alice: User) -> None:
    visitor = Visitor()
    visitor.send("/users/log_in", {"username": "Alice", "password": "correct horse battery"})
    assert visitor.cookies["balados_session"]["samesite"] == "Lax"
    assert visitor.cookies["balados_session"]["httponly"]
    assert visitor.cookies["csrftoken"]["samesite"] == "Lax"


def test_looking_changes_nothing(alice: User) -> None:
    visitor = Visitor(alice)
    address = {"token": CASTAWAY.authorization(), "decision": "approve"}
    assert visitor.get("/authorize", address).status_code == 200
    assert visitor.get("/authorize", address, headers={"Sec-Purpose": "prefetch"}).status_code == 200
    assert visitor.head("/authorize", address).status_code == 200
    assert visitor.put("/authorize", address).status_code in (403, 405)
    assert not AppGrant.objects.exists()


def test_only_the_signed_token_says_what_is_granted(alice: User) -> None:
    token = CASTAWAY.authorization(["user.plays.read"])
    decide(Visitor(alice), token, scopes="*", app_id="org.example.evil", user_id="1", state="x")
    grant = AppGrant.objects.get()
    assert (grant.app_id, grant.scopes) == (CASTAWAY.iss, ["user.plays.read"])


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "' onmouseover='alert(1)",
        "{{ user.password }}{% csrf_token %}",
        "Castaway</h2><h1>Verified",
        "&lt;b&gt;",
    ],
)
def test_a_name_is_text_and_nothing_else(alice: User, name: str) -> None:
    app = App(name)
    visitor = Visitor(alice)
    token = app.authorization()
    pages = [
        ask(visitor, token),
        decide(visitor, token, "deny"),
        decide(visitor, token),
        visitor.get("/apps"),
    ]
    for response in pages:
        page = text_of(response)
        assert response.status_code == 200
        for markup in ("<script>", "<img src=x", "onmouseover='", "</h2><h1>V", "&lt;b&gt;"):
            assert markup not in page
        assert alice.password not in page
    assert AppGrant.objects.get().name == name


@pytest.mark.parametrize("name", ["\u202egnip", "a\u200bb", "a\nb", "x" * 101, "  ", "\0"], ids=ascii)
def test_a_name_that_deceives_is_refused(alice: User, name: str) -> None:
    assert ask(Visitor(alice), App(name).authorization()).status_code == 400


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,x",
        "//evil.example",
        "https://a@b.example/",
        "file:///etc",
        "\\\\x",
    ],
)
def test_only_web_addresses_are_linked(alice: User, url: str) -> None:
    for field in ("url", "image"):
        token = CASTAWAY.authorization(app=CASTAWAY.description(**{field: url}))
        assert ask(Visitor(alice), token).status_code == 400


def test_a_link_shows_the_host_that_it_leads_to_and_gives_nothing_away(alice: User) -> None:
    app = CASTAWAY.description(url="https://cаstaway.example/a?b=c")  # the first "a" is a Cyrillic letter
    page = main_of(ask(Visitor(alice), CASTAWAY.authorization(app=app)))
    link = page.split("<a href=")[1].split("</a>")[0]
    assert link.endswith(">xn--cstaway-2fg.example")
    assert 'rel="noopener noreferrer nofollow"' in link


def test_the_picture_of_an_app_is_shown_once_it_is_widely_used(alice: User) -> None:
    token = CASTAWAY.authorization()
    visitor = Visitor(alice)
    assert "castaway.example/icon.png" not in main_of(ask(visitor, token))
    decide(visitor, token)
    assert "icon.png" not in main_of(visitor.get("/apps"))
    listeners = [UserFactory.create(username=f"listener{number}") for number in range(4)]
    for listener in listeners[:3]:
        CASTAWAY.grant(listener)
    assert "icon.png" not in main_of(ask(visitor, token))
    CASTAWAY.grant(listeners[3])
    for page in (main_of(ask(visitor, token)), main_of(visitor.get("/apps"))):
        assert 'src="https://castaway.example/icon.png"' in page
        assert 'referrerpolicy="no-referrer"' in page
    # the users of the real app do not count for an impostor: its icon is not shown
    assert "icon.png" not in main_of(ask(visitor, IMPOSTOR.authorization()))


@pytest.mark.parametrize(
    ("address", "source"),
    [
        ("https://castaway.example/done?x=1", "https://castaway.example"),
        ("https://CASTAWAY.example:8443/", "https://castaway.example:8443"),
        ("http://127.0.0.1:8765/done", "http://127.0.0.1:8765"),
        ("http://localhost/", "http://localhost"),
        ("http://[::1]:8765/done", "http:"),
        ("com.example.castaway:/done", "com.example.castaway:"),
    ],
)
def test_the_policy_names_where_the_form_may_lead_and_no_more(alice: User, address: str, source: str) -> None:
    assert form_target(address) == source
    token = CASTAWAY.authorization(app=CASTAWAY.description(redirect_uri=address))
    policy = ask(Visitor(alice), token)["Content-Security-Policy"]
    directives = dict(directive.strip().split(" ", 1) for directive in policy.split(";"))
    assert directives["form-action"] == f"'self' {source}"
    assert directives["default-src"] == "'none'"


def test_an_address_cannot_write_into_the_policy(alice: User) -> None:
    for address in (
        "https://a.example;script-src/x",
        "https://a.example, b",
        "com.example.a;x:/",
        "https://a b.example/",
    ):
        token = CASTAWAY.authorization(app=CASTAWAY.description(redirect_uri=address))
        response = ask(Visitor(alice), token)
        assert response.status_code == 400 or "script-src/x" not in response["Content-Security-Policy"]
