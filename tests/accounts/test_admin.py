"""What the administration shows, to whom, and what it does not offer."""

from datetime import UTC, datetime

import pytest
from axes.models import AccessAttempt
from django.apps import apps
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import Client

from accounts import pseudonyms
from accounts.app_models import AppPassword
from accounts.models import AppGrant, PlayToken, User
from feeds.models import Category
from operations.admin.people import UserAdmin
from tests.apps import App
from tests.factories import HelperFactory, OperatorFactory, PlayTokenFactory
from tests.web.people import logged_in

PASSWORD = "correct horse battery"
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
PAGES = [
    "/admin/",
    "/admin/accounts/user/",
    "/admin/accounts/appgrant/",
    "/admin/accounts/apppassword/",
    "/admin/accounts/playtoken/",
    "/admin/admin/logentry/",
    "/admin/axes/accessattempt/",
    "/admin/eventstore/storedevent/",
    "/admin/feeds/category/",
    "/admin/feeds/enrichedpodcast/",
    "/admin/feeds/feed/",
    "/admin/projections/deadletter/",
    "/admin/projections/episodepopularity/",
    "/admin/projections/podcastpopularity/",
    "/admin/projections/projectorposition/",
    "/admin/projections/publicevent/",
    "/admin/stores/",
]


@pytest.fixture
def olivia(stores: None) -> User:
    """The operator."""
    return OperatorFactory.create()


@pytest.fixture
def browser(olivia: User) -> Client:
    """The operator's client, logged in."""
    return logged_in(olivia)


def test_the_operator_sees_every_page(browser: Client) -> None:
    for page in PAGES:
        assert browser.get(page).status_code == 200, page


def test_nobody_else_does(alice: User) -> None:
    App().grant(alice, ["*"])
    stranger, listener = Client(), logged_in(alice)
    for page in PAGES:
        assert stranger.get(page).status_code == 302, page
        assert listener.get(page).status_code == 302, page
        assert Client().get(page, headers=App().bearer(alice.pk)).status_code == 302, page


def test_staff_without_permission_is_refused(stores: None) -> None:
    helper = logged_in(HelperFactory.create())
    for page in PAGES[1:]:
        assert helper.get(page).status_code == 403, page


def test_an_app_is_shown_without_its_key(browser: Client, alice: User) -> None:
    grant = App("<b>Castaway</b>").grant(alice, ["user.plays"])
    for page in ("/admin/accounts/appgrant/", f"/admin/accounts/appgrant/{grant.pk}/change/"):
        text = browser.get(page).content.decode()
        assert "&lt;b&gt;Castaway&lt;/b&gt;" in text
        assert "user.plays" in text
        assert grant.fingerprint[:16] in text
        assert grant.fingerprint[:17] not in text
        assert "<b>Castaway" not in text


def test_a_play_token_is_shown_without_its_hash(browser: Client, alice: User) -> None:
    token, secret = PlayToken.objects.issue(alice, "Kitchen radio", NOW)
    for page in ("/admin/accounts/playtoken/", f"/admin/accounts/playtoken/{token.pk}/change/"):
        text = browser.get(page).content.decode()
        assert "Kitchen radio" in text
        assert token.prefix in text
        assert secret not in text
        assert token.token_hash not in text


def test_a_user_is_shown_without_the_password_hash(browser: Client, olivia: User) -> None:
    text = browser.get(f"/admin/accounts/user/{olivia.pk}/change/").content.decode()
    assert "Olivia" in text
    assert olivia.password not in text


def test_an_operator_who_reads_the_logs_learns_who_a_user_is(browser: Client, alice: User) -> None:
    name = pseudonyms.of(alice.pk)
    assert name in browser.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()


KINDS = ("appgrant", "playtoken")


def given_out(user: User) -> dict[str, int]:
    """Create a grant and a play token of the user, and return their ids by kind."""
    return {"appgrant": App().grant(user).pk, "playtoken": PlayTokenFactory.create(user=user).pk}


def test_tokens_are_not_made_or_changed_here(browser: Client, alice: User) -> None:
    for kind, number in given_out(alice).items():
        for place in ("add/", f"{number}/change/"):
            assert browser.post(f"/admin/accounts/{kind}/{place}", {"name": "Other"}).status_code == 403
    assert AppGrant.objects.get().name == "Castaway"
    assert PlayToken.objects.get().name == "Kitchen radio"


def test_the_operator_revokes_a_grant_and_a_token(browser: Client, alice: User) -> None:
    app = App().bearer(alice.pk)
    for kind, number in given_out(alice).items():
        assert Client().get("/api/v1/me", headers=app).status_code == (200 if kind == "appgrant" else 401)
        chosen = {"action": "delete_selected", "_selected_action": str(number)}
        page = browser.post(f"/admin/accounts/{kind}/", chosen)
        assert "Are you sure" in page.content.decode()
        assert browser.post(f"/admin/accounts/{kind}/", {**chosen, "post": "yes"}).status_code == 302
    assert not AppGrant.objects.exists()
    assert not PlayToken.objects.exists()


def test_or_one_of_them_on_its_page(browser: Client, alice: User) -> None:
    for kind, number in given_out(alice).items():
        assert browser.post(f"/admin/accounts/{kind}/{number}/delete/", {"post": "yes"}).status_code == 302
    assert not AppGrant.objects.exists()
    # the log entries name the user's id, by which they are found when the account is erased
    assert {entry.object_id for entry in LogEntry.objects.all()} == {str(alice.pk)}
    assert "Castaway" in LogEntry.objects.last().change_message  # type: ignore[union-attr]


def test_a_helper_may_look_and_not_revoke(alice: User) -> None:
    helper = HelperFactory.create()
    views = Permission.objects.filter(codename__in=[f"view_{kind}" for kind in KINDS])
    helper.user_permissions.set(views)
    browser = logged_in(helper)
    for kind, number in given_out(alice).items():
        assert browser.get(f"/admin/accounts/{kind}/").status_code == 200
        assert browser.post(f"/admin/accounts/{kind}/{number}/delete/", {"post": "yes"}).status_code == 403
        browser.post(
            f"/admin/accounts/{kind}/",
            {"action": "delete_selected", "_selected_action": str(number), "post": "yes"},
        )
    assert AppGrant.objects.exists()
    assert PlayToken.objects.exists()


def test_the_last_use_of_an_app_is_shown(browser: Client, alice: User) -> None:
    grant = App().grant(alice)
    page = f"/admin/accounts/appgrant/{grant.pk}/change/"
    assert str(datetime.now(UTC).year) not in browser.get(page).content.decode().partition("Last used at")[2]
    Client().get("/api/v1/me", headers=App().bearer(alice.pk))
    assert str(datetime.now(UTC).year) in browser.get(page).content.decode().partition("Last used at")[2]


def test_an_app_password_is_shown_without_itself_and_revoked(browser: Client, alice: User) -> None:
    made, text = AppPassword.objects.issue(alice.pk, "AntennaPod", NOW)
    for page in ("/admin/accounts/apppassword/", f"/admin/accounts/apppassword/{made.pk}/change/"):
        shown = browser.get(page).content.decode()
        assert "AntennaPod" in shown
        assert text not in shown
        assert made.digest not in shown
    chosen = {"action": "delete_selected", "_selected_action": str(made.pk), "post": "yes"}
    assert browser.post("/admin/accounts/apppassword/", chosen).status_code == 302
    assert not AppPassword.objects.exists()
    assert LogEntry.objects.get().object_id == str(alice.pk)


ODD_SEARCHES = [
    *("username__regex=(", "name__iregex=%5B", "slug__regex=(", "type__regex=("),
    *("username=%00", "name__gt=%00", "type__exact=%00", "q=%00", "q=(", "o=x", "p=x", "id__gt=" + "9" * 30),
    *("date_joined__year=99999", "created_at__year=999999999", "recorded_at__year=0", "id__range=1"),
    *("scopes__contains=(", "scopes__0_9=x", "public_key__regex=(", "user__password__startswith=a"),
]


# names a field that no page has; the code that all pages share refuses it
OF_NO_FIELD = "nickname__regex=("


def test_no_search_is_a_fault_of_ours(browser: Client) -> None:
    """Each page is sent the searches that concern its fields, and one that concerns none."""
    for place, page in enumerate(PAGES[1:]):
        searches = [OF_NO_FIELD, *(search for search in ODD_SEARCHES if concerns(page, search))]
        for number, search in enumerate(searches):
            send = browser.post if (number + place) % 4 == 0 else browser.get
            assert send(f"{page}?{search}").status_code in (200, 302, 400), f"{page}?{search}"


def concerns(page: str, search: str) -> bool:
    field = search.partition("=")[0].partition("__")[0]
    app, name = page.split("/")[2:4]
    try:
        model = apps.get_model(app, name)
    except LookupError:
        return True
    return field in ("q", "o", "p", "id") or field in {each.name for each in model._meta.get_fields()}


def test_no_id_is_a_fault_of_ours(browser: Client, alice: User) -> None:
    users = ContentType.objects.get_for_model(User).pk
    for odd in ("notuuid", "%00", "9" * 30, "(", "a" * 3_000):
        for page in (f"r/{users}/{odd}/", f"accounts/user/{odd}/change/", f"accounts/appgrant/{odd}/delete/"):
            assert browser.get(f"/admin/{page}").status_code in (302, 400, 404), page
    for odd in ("notuuid", "\x00", "9" * 30):
        for page in ("accounts/appgrant/", "accounts/apppassword/", "feeds/category/"):
            chosen = {"action": "delete_selected", "_selected_action": odd}
            assert browser.post(f"/admin/{page}", chosen).status_code in (200, 302, 400), page


def test_a_fault_of_ours_stays_one(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UserAdmin, "get_queryset", lambda *_: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        browser.get("/admin/accounts/user/")


def test_a_session_does_not_outlive_the_account_being_switched_off(browser: Client, alice: User) -> None:
    hers = logged_in(alice)
    assert hers.get("/subscriptions").status_code == 200
    form = {"username": "alice", "email": "alice@example.org"}
    page = f"/admin/accounts/user/{alice.pk}/change/"
    assert browser.post(page, form).status_code == 302
    assert hers.get("/subscriptions").status_code == 302
    assert browser.post(page, {**form, "is_active": "on"}).status_code == 302
    assert hers.get("/subscriptions").status_code == 302
    alice.refresh_from_db()
    assert logged_in(alice).get("/subscriptions").status_code == 200


def test_nobody_is_deleted_here(browser: Client, alice: User) -> None:
    assert browser.post(f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"}).status_code == 403
    assert User.objects.filter(pk=alice.pk).exists()


CATEGORIES = "/admin/feeds/category/"


@pytest.fixture
def arts(stores: None) -> Category:
    """A category that came with the program."""
    return Category.objects.create(slug="fine-arts", name="Fine arts", seeded=True)


def test_the_operator_adds_changes_and_deletes_a_category(browser: Client, arts: Category) -> None:
    form = {"slug": "pottery", "name": "Potery", "parent": arts.pk}
    assert browser.post(f"{CATEGORIES}add/", form).status_code == 302
    change = f"{CATEGORIES}pottery/change/"
    # other rows refer to a category by its slug, which does not change
    assert browser.post(change, {"slug": "ceramics", "name": "Pottery", "parent": arts.pk}).status_code == 302
    assert Category.objects.filter(name="Pottery", parent=arts, seeded=False).get().pk == "pottery"
    assert "Fine arts" in browser.get(CATEGORIES).content.decode()
    assert browser.post(f"{CATEGORIES}pottery/delete/", {"post": "yes"}).status_code == 302
    assert not Category.objects.filter(pk="pottery").exists()


def test_there_are_two_levels_of_categories(browser: Client, arts: Category) -> None:
    Category.objects.create(slug="pottery", name="Pottery", parent=arts)
    form = {"slug": "vases", "name": "Vases", "parent": "pottery"}
    assert "Select a valid choice" in browser.post(f"{CATEGORIES}add/", form).content.decode()
    form = {"name": "Pottery", "parent": "pottery"}
    assert browser.post(f"{CATEGORIES}pottery/change/", form).status_code == 200
    assert Category.objects.get(pk="pottery").parent == arts


def test_a_category_that_came_with_the_program_stays_as_it_is(browser: Client, arts: Category) -> None:
    assert browser.get(f"{CATEGORIES}fine-arts/change/").status_code == 200
    assert browser.post(f"{CATEGORIES}fine-arts/change/", {"name": "Arts"}).status_code == 403
    assert browser.post(f"{CATEGORIES}fine-arts/delete/", {"post": "yes"}).status_code == 403
    browser.post(CATEGORIES, {"action": "delete_selected", "_selected_action": "fine-arts", "post": "yes"})
    assert Category.objects.get(pk="fine-arts").name == "Fine arts"


def new_user(name: str) -> dict[str, str]:
    return {"username": name, "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}


def test_the_operator_adds_and_switches_off_a_listener(browser: Client) -> None:
    assert browser.post("/admin/accounts/user/add/", new_user("Bob")).status_code == 302
    bob = User.objects.get_by_natural_key("bob")
    assert bob.check_password(PASSWORD)
    assert browser.post(f"/admin/accounts/user/{bob.pk}/change/", {"username": "Bobby"}).status_code == 302
    bob = User.objects.get_by_natural_key("bobby")
    assert not bob.is_active


@pytest.mark.parametrize("name", ["ALICE", "ａlice", "admin", "a/b", "x" * 41, "a\0b", ""], ids=ascii)
def test_a_bad_or_taken_name_is_said_on_the_form(browser: Client, alice: User, name: str) -> None:
    assert browser.post("/admin/accounts/user/add/", new_user(name)).status_code == 200
    assert User.objects.count() == 2


def test_a_helper_promotes_nobody(alice: User) -> None:
    henry = HelperFactory.create(permissions=["change_user", "view_user"])
    powers = {"is_staff": "on", "is_superuser": "on", "user_permissions": ["1"], "is_active": "on"}
    for user in (alice, henry):
        form = powers | {"username": user.username}
        assert logged_in(henry).post(f"/admin/accounts/user/{user.pk}/change/", form).status_code == 302
    assert not User.objects.filter(is_superuser=True).exists()
    alice.refresh_from_db()
    assert not alice.is_staff


def test_a_helper_does_not_touch_the_operator(olivia: User) -> None:
    henry = logged_in(HelperFactory.create(permissions=["change_user", "view_user"]))
    page = f"/admin/accounts/user/{olivia.pk}"
    assert henry.post(f"{page}/change/", {"username": "Olivia"}).status_code == 403
    passwords = {"password1": "another long one", "password2": "another long one"}
    assert henry.post(f"{page}/password/", passwords).status_code == 403
    olivia.refresh_from_db()
    assert olivia.is_active
    assert olivia.check_password(PASSWORD)


def log_in(client: Client, name: str, password: str, address: str = "192.0.2.1") -> int:
    form = {"username": name, "password": password, "next": "/admin/"}
    answer = client.post("/admin/login/", form, REMOTE_ADDR=address)
    assert ("Retry-After" in answer.headers) == (answer.status_code == 429)
    return answer.status_code


def test_the_log_in_of_the_administration_is_limited_too(olivia: User) -> None:
    spellings = ["Olivia", "OLIVIA", "olivia", "ｏlivia", "Olivia", "oLIVIA"]
    answers = [log_in(Client(), name, "wrong") for name in spellings]
    assert answers == [200] * 5 + [429]
    assert log_in(Client(), "Olivia", PASSWORD) == 429
    # the operator can log in from another address
    assert log_in(Client(), "Olivia", PASSWORD, "198.51.100.7") == 302


def test_a_lock_out_ends_though_the_guessing_goes_on(olivia: User) -> None:
    for _ in range(6):
        log_in(Client(), "Olivia", "wrong")
    first = AccessAttempt.objects.get().attempt_time
    assert log_in(Client(), "Olivia", "wrong") == 429
    assert AccessAttempt.objects.get().attempt_time == first
    # the window of a quarter of an hour has passed
    AccessAttempt.objects.update(attempt_time=first.replace(year=first.year - 1))
    assert log_in(Client(), "Olivia", PASSWORD) == 302


def test_what_is_guessed_is_not_kept(olivia: User) -> None:
    log_in(Client(), "Olivia", "my password for the bank")
    assert "bank" not in str(AccessAttempt.objects.values().get())
