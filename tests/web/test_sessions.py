"""/settings/sessions: where a listener is logged in, and logging out elsewhere."""

from datetime import timedelta

from django.conf import settings
from django.db import connections
from django.utils import timezone

from accounts import sessions
from accounts.models import Session, User
from operations import maintenance
from operations.stores import Note, connect
from tests.web.people import Visitor, text_of

PAGE = "/settings/sessions"
FIREFOX = "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36"


def browser(user: User, agent: str = CHROME) -> Visitor:
    visitor = Visitor(user, HTTP_USER_AGENT=agent)
    assert visitor.get("/settings/account").status_code == 200
    return visitor


def is_in(visitor: Visitor) -> bool:
    return visitor.get("/subscriptions").status_code == 200


def row_of(visitor: Visitor) -> Session:
    return Session.objects.get(pk=visitor.cookies[settings.SESSION_COOKIE_NAME].value)


def test_it_lists_browsers_by_name_and_time_and_tells_no_key(alice: User, bob: User) -> None:
    here, _, _ = browser(alice), browser(alice, FIREFOX), browser(bob, FIREFOX)
    page = text_of(here.get(PAGE))
    assert page.index("Chrome on Linux") < page.index("This browser") < page.index("Firefox on Android")
    assert page.count("Chrome on Linux") == 1
    for session in Session.objects.all():
        assert session.session_key not in page
    assert "Firefox sous Android" in text_of(here.get(PAGE, headers={"Accept-Language": "fr"}))


def test_a_session_that_is_ended_is_none_at_once(alice: User) -> None:
    here, phone = browser(alice), browser(alice, FIREFOX)
    handle = row_of(phone).handle
    assert f"{PAGE}/{handle}/end" in text_of(here.get(PAGE))
    assert here.send(f"{PAGE}/{handle}/end", {})["Location"] == PAGE
    assert (is_in(here), is_in(phone)) == (True, False)
    # an open tab can send what it likes: nothing is changed, and the session stays ended
    assert phone.send("/settings/preferences", {"language": "fr"}).status_code in (302, 403)
    assert User.objects.get(pk=alice.pk).language == ""
    assert here.send(f"{PAGE}/{handle}/end", {}).status_code == 404


def test_everything_else_is_logged_out_with_one_button(alice: User, bob: User) -> None:
    here, phone, tablet, bobs = browser(alice), browser(alice), browser(alice), browser(bob)
    assert here.send(f"{PAGE}/end", {})["Location"] == PAGE
    assert "2 other browsers are logged out" in text_of(here.get(PAGE))
    assert [is_in(each) for each in (here, phone, tablet, bobs)] == [True, False, False, True]


def test_an_administrator_logs_somebody_out_everywhere(alice: User, bob: User) -> None:
    hers, his = browser(alice), browser(bob)
    assert sessions.end_sessions(alice.pk) == 1
    assert (is_in(hers), is_in(his)) == (False, True)


def test_the_sessions_of_others_are_not_there(alice: User, bob: User) -> None:
    handle = row_of(browser(bob)).handle
    visitor = browser(alice)
    unknown = visitor.send(f"{PAGE}/{'0' * 24}/end", {})
    theirs = visitor.send(f"{PAGE}/{handle}/end", {})
    assert (theirs.status_code, theirs.content) == (unknown.status_code, unknown.content)
    assert theirs.status_code == 404


def test_the_last_use_is_kept_once_an_hour(alice: User) -> None:
    visitor = browser(alice)
    with connections["system"].cursor() as cursor:
        cursor.execute("SELECT xmin::text FROM system.sessions")
        first = cursor.fetchone()
        visitor.get("/settings/account")
        cursor.execute("SELECT xmin::text FROM system.sessions")
        assert cursor.fetchone() == first, "written again within the hour"
    row = row_of(visitor)
    assert row.seen_at is not None
    age_by(visitor, timedelta(hours=2))
    visitor.get("/settings/account")
    again = row_of(visitor)
    assert again.seen_at is not None
    assert timezone.now() - again.seen_at < timedelta(minutes=1)
    assert again.since is not None
    assert again.since < again.seen_at - timedelta(hours=1)


def age_by(visitor: Visitor, time: timedelta) -> None:
    session = visitor.session
    for name in (sessions.SINCE, sessions.SEEN):
        session[name] = (timezone.now() - time).isoformat()
    session.save()


def test_in_maintenance_pages_are_read_though_the_last_use_cannot_be_kept(alice: User) -> None:
    visitor = browser(alice)
    age_by(visitor, timedelta(hours=2))
    with connect("system") as connection:
        maintenance.enable(connection, "system", Note("maintenance"))
        try:
            assert visitor.get("/settings/account").status_code == 200
        finally:
            maintenance.disable(connection, "system")
