"""The page on which users grant apps access."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import connections

from accounts import grants, keys
from accounts.models import AppGrant, User
from accounts.tokens import Authorization
from tests.apps import App
from tests.web.asking import CASTAWAY, IMPOSTOR, answer_of, ask, decide, main_of
from tests.web.people import Visitor, text_of


def test_the_page_says_who_asks_for_what(alice: User) -> None:
    page = main_of(ask(Visitor(alice), CASTAWAY.authorization(["user.plays.read", "user.sync"])))
    for text in (
        "Castaway",
        "org.example.castaway",
        "castaway.example",
        "unverified",
        "First seen",
        "See what you listen to and how far",
        "Keep your podcasts, plays and playlists in step",
        "user.sync user.plays.read",
    ):
        assert text in " ".join(page.split())
    fingerprint = keys.fingerprint(keys.read_pem(CASTAWAY.public_key))
    assert fingerprint in page.replace(" ", "")


def test_an_approved_app_is_let_in(alice: User) -> None:
    response = decide(Visitor(alice), CASTAWAY.authorization(["user.plays"]))
    assert response.status_code == 200
    assert str(alice.pk) in main_of(response)
    grant = AppGrant.objects.get()
    assert (grant.user, grant.app_id, grant.scopes) == (alice, CASTAWAY.iss, ["user.plays"])


def test_who_is_switched_off_while_approving_is_sent_to_log_in(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    visitor, authorize = Visitor(alice), grants.authorize

    def authorize_too_late(
        user: User, authorization: Authorization, *, replace_key: bool = False
    ) -> AppGrant:
        User.objects.update(is_active=False)
        return authorize(user, authorization, replace_key=replace_key)

    monkeypatch.setattr(grants, "authorize", authorize_too_late)
    response = decide(visitor, CASTAWAY.authorization())
    assert response.status_code == 302
    assert response["Location"].startswith("/users/log_in?next=")
    assert not AppGrant.objects.exists()


def test_a_denied_app_is_not(alice: User) -> None:
    response = decide(Visitor(alice), CASTAWAY.authorization(), "deny")
    assert response.status_code == 200
    assert "is not let in" in main_of(response)
    assert not AppGrant.objects.exists()


@pytest.mark.parametrize("decision", ["", "yes", "APPROVE", "approve "])
def test_an_answer_that_is_none_changes_nothing(alice: User, decision: str) -> None:
    response = decide(Visitor(alice), CASTAWAY.authorization(), decision)
    assert response.status_code == 400
    assert not AppGrant.objects.exists()


@pytest.mark.parametrize(
    "address",
    [
        "https://castaway.example/done",
        "https://castaway.example/done?flow=7",
        "http://127.0.0.1:8765/done",
        "http://[::1]:8765/done",
        "com.example.castaway:/done",
        "com.example.castaway:///done",
        "com.example.castaway://done",
    ],
)
def test_the_app_learns_for_whom_it_is_let_in(alice: User, address: str) -> None:
    token = CASTAWAY.authorization(
        ["user.sync", "user.plays"], state="a b&c=ü", app=CASTAWAY.description(redirect_uri=address)
    )
    response = decide(Visitor(alice), token)
    assert response.status_code == 302
    assert response["Location"].startswith(address)
    answer = answer_of(response)
    answer.pop("flow", None)
    assert answer == {
        "user_id": [str(alice.pk)],
        "app_id": [CASTAWAY.iss],
        "scopes": ["user.sync user.plays"],
        "state": ["a b&c=ü"],
    }


def test_the_app_learns_that_it_is_not_let_in(alice: User) -> None:
    app = CASTAWAY.description(redirect_uri="com.example.castaway:/done")
    response = decide(Visitor(alice), CASTAWAY.authorization(state="s1", app=app), "deny")
    assert response["Location"] == "com.example.castaway:/done?error=access_denied&state=s1"
    response = decide(Visitor(alice), CASTAWAY.authorization(app=app), "deny")
    assert response["Location"] == "com.example.castaway:/done?error=access_denied"


def test_a_stranger_logs_in_first_and_comes_back(alice: User) -> None:
    token = CASTAWAY.authorization()
    for response in (ask(Visitor(), token), decide(Visitor(), token)):
        assert response.status_code == 302
        assert response["Location"] == f"/users/log_in?next=/authorize%3Ftoken%3D{token}"
    assert not AppGrant.objects.exists()


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (CASTAWAY.authorization(["evil.*"]), "unknown scope"),
        (CASTAWAY.authorization(exp=1), "expired"),
        (CASTAWAY.authorization(aud="https://elsewhere.example"), "another instance"),
        (CASTAWAY.request("00000000-0000-0000-0000-000000000001"), "names no app"),
        (CASTAWAY.authorization(app=CASTAWAY.description(public_key="none")), "RSA public key"),
        (
            CASTAWAY.authorization(app=CASTAWAY.description(redirect_uri="http://evil.example/")),
            "redirect_uri",
        ),
        (
            CASTAWAY.authorization(app=CASTAWAY.description(redirect_uri="javascript:alert(1)")),
            "redirect_uri",
        ),
        (
            CASTAWAY.authorization(app=CASTAWAY.description(public_key=IMPOSTOR.public_key)),
            "not signed by the key",
        ),
        ("a.b.c", "base64url"),
        ("<script>alert(1)</script>", "not a JSON Web Token"),
        ("x" * 300_000, "longer than"),
        ("\0", "not a JSON Web Token"),
    ],
    ids=lambda text: text[:30] if len(text) < 40 else "",
)
def test_a_token_that_does_not_hold_is_refused_with_the_reason(alice: User, token: str, reason: str) -> None:
    for visitor in (Visitor(), Visitor(alice)):
        answers = [decide(visitor, token)]
        if len(token) < 10_000:
            answers.append(ask(visitor, token))
        for response in answers:
            assert response.status_code == 400
            assert reason in main_of(response)
            assert "<script>alert" not in text_of(response)
    assert not AppGrant.objects.exists()


def test_a_private_key_sent_by_mistake_is_shown_to_nobody(
    alice: User, caplog: pytest.LogCaptureFixture
) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    secret = CASTAWAY.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    token = CASTAWAY.authorization(app=CASTAWAY.description(public_key=secret))
    response = ask(Visitor(alice), token)
    assert response.status_code == 400
    for line in secret.splitlines()[1:-1]:
        assert line not in text_of(response)
        assert line not in caplog.text


# ---- the same app again, and other apps of the same name


def test_the_same_id_with_another_key_is_said_to_be_another_app(alice: User, bob: User) -> None:
    CASTAWAY.grant(alice)
    page = main_of(ask(Visitor(bob), IMPOSTOR.authorization()))
    assert "Another app with this id, but with another key, is in use on this server." in page
    decide(Visitor(bob), IMPOSTOR.authorization())
    assert len(set(AppGrant.objects.values_list("fingerprint", flat=True))) == 2


def test_another_key_takes_an_explicit_word(alice: User) -> None:
    grant = CASTAWAY.grant(alice)
    token = IMPOSTOR.authorization()
    visitor = Visitor(alice)
    page = main_of(ask(visitor, token))
    assert "An app with this id is already authorized with another key." in page
    assert 'name="replace"' in page
    assert "checked" not in page
    for fields in ({}, {"replace": ""}, {"replace": "no"}):
        response = decide(visitor, token, **fields)
        assert response.status_code == 409
        assert "Nothing has changed yet" in main_of(response)
        assert AppGrant.objects.get().fingerprint == grant.fingerprint
    assert decide(visitor, token, replace="yes").status_code == 200
    assert AppGrant.objects.get().fingerprint != grant.fingerprint


def test_a_key_that_came_in_between_is_not_replaced_silently(alice: User) -> None:
    visitor = Visitor(alice)
    token = IMPOSTOR.authorization()
    assert "already authorized" not in main_of(ask(visitor, token))
    CASTAWAY.grant(alice)
    response = decide(visitor, token)
    assert response.status_code == 409
    assert "already authorized with another key" in main_of(response)


def items_of(page: str) -> list[str]:
    return [" ".join(item.split("</li>")[0].split()) for item in page.split("<li>")[1:]]


def test_more_scopes_are_shown_in_bold(alice: User) -> None:
    CASTAWAY.grant(alice, ["user.plays.read"])
    token = CASTAWAY.authorization(["user.plays.read", "user.subscriptions.read"])
    visitor = Visitor(alice)
    assert items_of(main_of(ask(visitor, token))) == [
        '<strong>See the podcasts you follow</strong> <span class="tag warn">new</span>',
        "See what you listen to and how far",
    ]
    assert AppGrant.objects.get().scopes == ["user.plays.read"]
    decide(visitor, token, "deny")
    assert AppGrant.objects.get().scopes == ["user.plays.read"]
    decide(visitor, token)
    assert AppGrant.objects.get().scopes == ["user.subscriptions.read", "user.plays.read"]


def test_what_a_broader_scope_gave_already_is_not_new(alice: User) -> None:
    CASTAWAY.grant(alice, ["user.plays"])
    page = main_of(ask(Visitor(alice), CASTAWAY.authorization(["user.plays.read"])))
    assert items_of(page)[0] == "See what you listen to and how far"


def test_fewer_scopes_are_shown_and_stored(alice: User) -> None:
    CASTAWAY.grant(alice, ["user.plays", "user.privacy"])
    token = CASTAWAY.authorization(["user.plays"])
    visitor = Visitor(alice)
    assert "<s>See what you keep private, and change what you keep private</s>" in main_of(
        ask(visitor, token)
    )
    decide(visitor, token)
    assert AppGrant.objects.get().scopes == ["user.plays"]


def test_each_user_approves_for_himself_alone(alice: User, bob: User) -> None:
    token = CASTAWAY.authorization()
    ask(Visitor(alice), token)
    decide(Visitor(bob), token)
    assert AppGrant.objects.get().user == bob


def test_a_token_made_for_one_user_is_not_for_another(alice: User, bob: User) -> None:
    token = CASTAWAY.authorization(sub=str(alice.pk))
    for response in (ask(Visitor(bob), token), decide(Visitor(bob), token)):
        assert response.status_code == 403
        assert "another user" in main_of(response)
    assert not AppGrant.objects.exists()
    assert decide(Visitor(alice), token).status_code == 200


def test_an_approval_twenty_times_over_is_one(alice: User) -> None:
    token = CASTAWAY.authorization()
    visitors = [Visitor(alice) for _ in range(20)]

    def hurry(visitor: Visitor) -> int:
        try:
            return decide(visitor, token).status_code
        finally:
            connections.close_all()

    with ThreadPoolExecutor(20) as pool:
        assert set(pool.map(hurry, visitors)) == {200}
    assert AppGrant.objects.count() == 1


def test_after_revoking_the_page_asks_again(alice: User) -> None:
    token = CASTAWAY.authorization()
    visitor = Visitor(alice)
    decide(visitor, token)
    visitor.send("/apps/revoke", {"app_id": CASTAWAY.iss})
    page = ask(visitor, token)
    assert 'value="approve"' in main_of(page)
    assert not AppGrant.objects.exists()


def test_the_page_leads_with_what_cannot_be_made_up(alice: User) -> None:
    famous = App("Famous Podcasts", "com.famous.podcasts", key="second")
    page = main_of(ask(Visitor(alice), famous.authorization()))
    assert page.index("First seen") < page.index("Famous Podcasts")
    assert page.index("unverified") < page.index("<form")
    assert page.index("Key fingerprint") < page.index("<form")
    assert "<img" not in page


def test_links_and_audience_come_from_the_settings(alice: User) -> None:
    token = CASTAWAY.authorization(aud=settings.PUBLIC_URL)
    assert ask(Visitor(alice), token).status_code == 200
    elsewhere = CASTAWAY.authorization(aud="http://127.0.0.1:8000")
    assert (
        Visitor(alice, HTTP_HOST="127.0.0.1:8000").get("/authorize", {"token": elsewhere}).status_code == 400
    )
