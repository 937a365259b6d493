"""The question on /subscriptions that is shown when an app would unfollow many podcasts at once."""

import pytest
from django.utils import timezone

from accounts.app_models import AppPassword
from accounts.models import User
from eventstore.dispatcher import state_of
from tests.gpodder.apps import PodcastApp, feed_url
from tests.projecting import bring_up_to_date
from tests.web.people import Visitor, text_of

HELD = "/subscriptions/held"


@pytest.mark.parametrize(("decision", "left"), [("keep", 20), ("confirm", 9)])
def test_a_listener_is_asked_whether_an_app_may_unfollow_so_many(
    alice: User, bob: User, decision: str, left: int
) -> None:
    password = AppPassword.objects.issue(alice.pk, "", timezone.now())[1]
    app = PodcastApp("Alice", password, "phone")
    app.ask("POST", "/api/2/devices/Alice/phone.json", {"caption": "Pixel"})
    app.upload_subscriptions([feed_url(number) for number in range(20)])
    app.upload_subscriptions(remove=[feed_url(number) for number in range(11)])
    bring_up_to_date()
    visitor = Visitor(alice)
    page = text_of(visitor.get("/subscriptions"))
    assert "<bdi>Pixel</bdi> wanted to unfollow 11 of your 20 podcasts" in page
    assert HELD not in text_of(Visitor(bob).get("/subscriptions"))
    # neither an answer of another listener nor one about another device counts
    Visitor(bob).send(HELD, {"device": "phone", "decision": "confirm"})
    visitor.send(HELD, {"device": "other", "decision": "confirm"})
    assert following(alice) == 20
    for _ in range(2):
        visitor.send(HELD, {"device": "phone", "decision": decision})
        bring_up_to_date()
    assert following(alice) == left
    text = text_of(visitor.get("/subscriptions"))
    assert "11 podcasts." in text
    assert HELD not in text


def following(user: User) -> int:
    return sum(known.active for known in state_of(user.pk).user.subscriptions.values())
