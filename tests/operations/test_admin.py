"""The administration of people, of the log and of the machine: what it shows, what it hides, and what it asks
before it acts."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.app_models import AppPassword
from accounts.models import AppGrant, Profile, User
from eventstore import administration, dispatcher
from eventstore.dispatcher import Origin
from eventstore.domain.privacy import ChangePrivacy, Level
from jobs import retention
from projections.public_models import PublicEvent
from tests.apps import App
from tests.factories import AppGrantFactory, HelperFactory, OperatorFactory, PlayTokenFactory, UserFactory
from tests.projecting import bring_up_to_date
from tests.web.library import follow, hear, show
from tests.web.people import logged_in, text_of

pytestmark = pytest.mark.usefixtures("stores")
USERS, EVENTS = "/admin/accounts/user/", "/admin/eventstore/storedevent/"
NOW = datetime(2026, 11, 21, 8, 0, tzinfo=UTC)


@pytest.fixture
def olivia() -> Client:
    """The operator, logged in with a browser."""
    return logged_in(OperatorFactory.create())


@contextmanager
def queries() -> Iterator[list[int]]:
    """Yield a list that receives, at the end of the block, the number of queries that Django made."""
    with (
        CaptureQueriesContext(connections["system"]) as system,
        CaptureQueriesContext(connections["projections"]) as projections,
        CaptureQueriesContext(connections["events"]) as events,
    ):
        counted: list[int] = []
        yield counted
        counted.append(len(system) + len(projections) + len(events))


def act(client: Client, path: str, action: str, *chosen: Any, **more: str) -> str:
    data = {"action": action, "_selected_action": [str(each.pk) for each in chosen], **more}
    return text_of(client.post(path, data, follow=True))


def test_the_first_page_is_grouped_by_what_people_do_and_tells_how_the_machine_is(olivia: Client) -> None:
    page = text_of(olivia.get("/admin/"))
    places = [page.index(f">{group}</h2>") for group in ("People", "Access", "The machine")]
    assert places == sorted(places)
    assert "Axes" not in page
    # none of these programs runs during the tests
    assert "collections" in page.partition("Not running: ")[2].partition(".")[0]
    assert "Does not answer." in page
    assert page.count("PostgreSQL 1") == 3
    assert "GB free of" in page
    helper = text_of(logged_in(HelperFactory.create(permissions=["view_user"])).get("/admin/"))
    assert USERS in helper
    assert "PostgreSQL" not in helper
    assert "/admin/stores/" not in helper


def test_the_page_of_stores_is_for_superusers(olivia: Client) -> None:
    retention.run(wait=lambda _: True)
    page = text_of(olivia.get("/admin/stores/"))
    assert "0 events deleted" in page
    assert "system.users" in page
    assert "users.play_statuses" in page
    assert logged_in(HelperFactory.create(permissions=["view_user"])).get("/admin/stores/").status_code == 403


def test_users_are_listed_with_what_they_gave_out_in_a_constant_number_of_queries(
    olivia: Client, alice: User
) -> None:
    AppGrantFactory.create(user=alice, last_used_at=NOW)
    for _ in range(2):
        PlayTokenFactory.create(user=alice)
    AppPassword.objects.issue(alice.pk, "AntennaPod", NOW)
    page = text_of(olivia.get(f"{USERS}?q=alice"))
    assert (
        '<td class="field-apps">1</td><td class="field-passwords">1</td><td class="field-players">2</td>'
        in page
    )
    assert "ago</td>" in page
    counts = []
    for _ in range(2):
        for user in UserFactory.create_batch(20):
            PlayTokenFactory.create(user=user)
        with queries() as counted:
            assert olivia.get(USERS).status_code == 200
        counts += counted
    assert counts[0] == counts[1]
    assert counts[0] < 12


def test_users_are_switched_off_and_on_after_a_question(olivia: Client, alice: User) -> None:
    hers = logged_in(alice)
    assert "They can no longer log in" in act(olivia, USERS, "switch_off", alice)
    assert hers.get("/subscriptions").status_code == 200
    assert "1 changed." in act(olivia, USERS, "switch_off", alice, confirmed="yes")
    assert hers.get("/subscriptions").status_code == 302
    assert "1 changed." in act(olivia, USERS, "switch_on", alice, confirmed="yes")
    alice.refresh_from_db()
    assert alice.is_active
    changes = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
    assert changes == ["Switched off.", "Switched on."]


def test_what_a_profile_says_is_hidden_and_shown_again(olivia: Client, alice: User, bob: User) -> None:
    Profile.objects.create(user=alice, public_name="Something unkind", is_public=True)
    seen = logged_in(bob)
    assert "Something unkind" in text_of(seen.get("/u/Alice"))
    assert "They are told so" in act(olivia, USERS, "hide_profile", alice)
    assert "1 changed." in act(olivia, USERS, "hide_profile", alice, confirmed="yes")
    assert seen.get("/u/Alice").status_code == 404
    assert "Something unkind" not in text_of(seen.get("/search?q=unkind"))
    assert "An operator of this server has hidden your profile" in text_of(
        logged_in(alice).get("/settings/profile")
    )
    assert "1 changed." in act(olivia, USERS, "show_profile", alice, confirmed="yes")
    assert "Something unkind" in text_of(seen.get("/u/Alice"))


def test_a_listener_is_logged_out_everywhere_and_gets_a_link_for_a_new_password(
    olivia: Client, alice: User
) -> None:
    hers = logged_in(alice)
    assert hers.get("/subscriptions").status_code == 200
    page = f"{USERS}{alice.pk}"
    assert "has to log in again" in text_of(olivia.get(f"{page}/log-out/"))
    assert hers.get("/subscriptions").status_code == 200
    assert "1 sessions ended." in text_of(olivia.post(f"{page}/log-out/", follow=True))
    assert hers.get("/subscriptions").status_code == 302
    assert "/users/reset/" not in text_of(olivia.get(f"{page}/reset-link/"))
    made = olivia.post(f"{page}/reset-link/")
    found = re.search(r'value="[a-z]+://[^/"]+(/users/reset/[^"]+)"', text_of(made))
    assert found
    assert "no-store" in made["Cache-Control"]
    assert made["Referrer-Policy"] == "no-referrer"
    assert "Set a new password" in text_of(Client().get(found[1], follow=True))
    changes = [entry.change_message for entry in LogEntry.objects.order_by("pk")]
    assert changes == ["Logged out everywhere.", "Made a reset link."]
    act(olivia, USERS, "switch_off", alice, confirmed="yes")
    assert "no link opens it" in text_of(olivia.post(f"{page}/reset-link/", follow=True))
    operator = User.objects.get(username="Olivia")
    helper = logged_in(HelperFactory.create(permissions=["view_user", "change_user"]))
    for name in ("log-out", "reset-link"):
        assert helper.post(f"{USERS}{operator.pk}/{name}/").status_code == 403, name
        assert olivia.get(f"{USERS}{operator.pk}x/{name}/").status_code in (400, 404), name


def test_nobody_switches_off_himself_and_no_helper_an_administrator(olivia: Client) -> None:
    operator = User.objects.get(username="Olivia")
    assert "0 changed." in act(olivia, USERS, "switch_off", operator, confirmed="yes")
    helper = HelperFactory.create(permissions=["view_user", "change_user"])
    assert "0 changed." in act(logged_in(helper), USERS, "switch_off", operator, confirmed="yes")
    operator.refresh_from_db()
    assert operator.is_active


def test_an_account_is_erased_whole_once_its_name_was_typed(olivia: Client, alice: User) -> None:
    follow(alice, show(1, 1))
    App().grant(alice)
    page = f"{USERS}{alice.pk}/erase/"
    assert "type the user name" in text_of(olivia.get(page))
    answer = text_of(olivia.post(page, {"name": "alicia"}))
    assert "This is not the user name." in answer
    assert 'value="alicia"' in answer
    assert User.objects.filter(pk=alice.pk).exists()
    assert "The account alice was erased." in text_of(olivia.post(page, {"name": "alice"}, follow=True))
    assert not User.objects.filter(pk=alice.pk).exists()
    assert not AppGrant.objects.exists()
    assert administration.last_position() > 0
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.object_id, entry.change_message) == (
        "an account",
        None,
        "Erased an account.",
    )
    assert olivia.get(page).status_code == 404


def test_who_may_not_erase_is_refused(olivia: Client, alice: User) -> None:
    operator = User.objects.get(username="Olivia")
    assert olivia.get(f"{USERS}{operator.pk}/erase/").status_code == 403
    looker = logged_in(HelperFactory.create(username="Lola", permissions=["view_user", "change_user"]))
    assert looker.post(f"{USERS}{alice.pk}/erase/", {"name": "alice"}).status_code == 403
    eraser = HelperFactory.create(permissions=["view_user", "change_user", "delete_user"])
    helper = logged_in(eraser)
    assert helper.post(f"{USERS}{operator.pk}/erase/", {"name": "Olivia"}).status_code == 403
    assert helper.post(f"{USERS}{alice.pk}/erase/", {"name": "alice"}).status_code == 302
    assert set(User.objects.values_list("username", flat=True)) == {"Olivia", "Lola", "Henry"}


def share(user: User, level: Level) -> None:
    dispatcher.dispatch(ChangePrivacy(user_id=user.pk, level=level, now=NOW), Origin())
    bring_up_to_date()


def test_events_are_told_in_words_without_what_is_private(olivia: Client, alice: User) -> None:
    feed = show(1, 1, title="Slow Radio")
    follow(alice, feed)
    hear(alice, feed.episodes.get(), 754)
    bring_up_to_date()
    hidden: tuple[Level, ...] = ("private", "anonymous")
    for level in hidden:
        share(alice, level)
        page = text_of(olivia.get(EVENTS))
        assert "Play recorded" in page
        assert "User subscribed" in page
        assert "alice" in page
        for secret in ("Slow Radio", "Episode 1-0", "754", "12:34", "show1"):
            assert secret not in page, (level, secret)
    share(alice, "public")
    page = text_of(olivia.get(EVENTS))
    assert "Slow Radio: Episode 1-0" in page
    assert "754" not in page
    one = text_of(olivia.get(f"{EVENTS}1/change/"))
    assert "User subscribed" in one
    assert "Slow Radio" in one
    assert "rss_source_feed" not in one


def test_events_are_found_by_their_user_and_by_nothing_that_they_hold(
    olivia: Client, alice: User, bob: User
) -> None:
    feed = show(1, 2)
    follow(alice, feed)
    follow(bob, feed)
    for search in ("ALICE", str(alice.pk)):
        page = text_of(olivia.get(EVENTS, {"q": search}))
        assert ">alice<" in page
        assert ">bob<" not in page
    assert "0 events" in text_of(olivia.get(EVENTS, {"q": "show1"}))
    for lookup in ("data__contains", "data__rss_source_feed__startswith", "metadata__device_name", "stream"):
        assert olivia.get(EVENTS, {lookup: "1"}).status_code == 400, lookup


def test_a_list_of_many_events_costs_as_much_as_one_of_few(olivia: Client, alice: User) -> None:
    counts: list[int] = []
    olivia.get(EVENTS)
    for _ in range(2):
        follow(alice, *(show(number) for number in range(len(counts) * 10, len(counts) * 10 + 10)))
        with queries() as counted:
            assert olivia.get(EVENTS).status_code == 200
        counts += counted
    assert counts[0] == counts[1]


def test_read_models_show_what_is_public_and_name_nobody_who_is_anonymous(
    olivia: Client, alice: User, bob: User
) -> None:
    feed = show(1, 1, title="Slow Radio")
    for user in (alice, bob):
        follow(user, feed)
    share(alice, "anonymous")
    share(bob, "public")
    page = text_of(olivia.get("/admin/projections/publicevent/"))
    assert PublicEvent.objects.count() == 2
    assert page.count("Slow Radio") == 2
    assert ">bob<" in page
    assert ">anonymous<" in page
    assert "alice" not in page
    assert ">plays<" in text_of(olivia.get("/admin/projections/projectorposition/"))
