"""Login flow v2: an app opens a page in a browser, its listener lets it in there, and the app fetches an app
password meanwhile.

Two independent secrets, so that what stands in the browser's address opens nothing: one the browser opens,
one the app polls with. The password is drawn in the moment in which the app fetches it.
"""

import secrets
from datetime import datetime
from typing import NamedTuple

from django.db import transaction

from accounts.app_login import FLOW_LIVES
from accounts.app_models import LONGEST_AGENT, AppPassword, LoginFlow, digest
from accounts.models import User


class Started(NamedTuple):
    poll: str
    login: str


class Granted(NamedTuple):
    username: str
    password: str


def start(agent: str, address: str, now: datetime) -> Started:
    """A flow of an app that calls itself so and comes from there; returns its secrets."""
    made = Started(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
    LoginFlow.objects.create(
        poll_digest=digest(made.poll),
        login_digest=digest(made.login),
        agent=agent[:LONGEST_AGENT],
        address=address,
        started_at=now,
    )
    return made


def find(login: str, now: datetime) -> LoginFlow | None:
    """What waits for an answer; None where it was given, or too much time has passed."""
    return LoginFlow.objects.filter(
        login_digest=digest(login), started_at__gt=now - FLOW_LIVES, user=None, denied=False
    ).first()


def decide(flow: LoginFlow, user: User | None) -> bool:
    """Let it in for a listener, or nobody; False where somebody else was quicker."""
    waiting = LoginFlow.objects.filter(pk=flow.pk, user=None, denied=False)
    return bool(waiting.update(user=user, denied=user is None))


def is_begun(poll: str, now: datetime) -> bool:
    """Whether an app may poll with that: what it waits for may be refused, and is not over."""
    return LoginFlow.objects.filter(poll_digest=digest(poll), started_at__gt=now - FLOW_LIVES).exists()


def fetch(poll: str, now: datetime) -> Granted | None:
    """Name and password, once, for an app that was let in; None for all others."""
    flows = LoginFlow.objects.filter(poll_digest=digest(poll), started_at__gt=now - FLOW_LIVES)
    user = User.objects.filter(pk__in=flows.values("user"), is_active=True).first()
    if user is None:
        return None
    with transaction.atomic(using="system"):
        agent = flows.values_list("agent", flat=True).first()
        # of two that poll at once, one deletes it
        if agent is None or not flows.delete()[0]:
            return None
        _, text = AppPassword.objects.issue(user.pk, agent, now)
    return Granted(user.username, text)
