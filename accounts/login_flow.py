"""Login flow v2: an app opens a page in a browser, its listener approves it there, and meanwhile the app
polls for an app password.

There are two independent secrets, one that the browser opens and one that the app polls with, so that the
address in the browser does not give access to the password. The password is generated when the app fetches
it.
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
    """Start a flow for an app with this user ``agent`` and client ``address``; returns its secrets."""
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
    """Return the flow that waits for an answer; None if it has been answered, or has expired."""
    return LoginFlow.objects.filter(
        login_digest=digest(login), started_at__gt=now - FLOW_LIVES, user=None, denied=False
    ).first()


def decide(flow: LoginFlow, user: User | None) -> bool:
    """Approve the app for a listener, or deny it if ``user`` is None; False if it was decided already."""
    waiting = LoginFlow.objects.filter(pk=flow.pk, user=None, denied=False)
    return bool(waiting.update(user=user, denied=user is None))


def is_begun(poll: str, now: datetime) -> bool:
    """Whether an app may poll with this secret: its flow may have been denied, but has neither been fetched
    nor expired."""
    return LoginFlow.objects.filter(poll_digest=digest(poll), started_at__gt=now - FLOW_LIVES).exists()


def fetch(poll: str, now: datetime) -> Granted | None:
    """Return the name and a new app password, once, for an app that was approved; None in all other cases."""
    flows = LoginFlow.objects.filter(poll_digest=digest(poll), started_at__gt=now - FLOW_LIVES)
    user = User.objects.filter(pk__in=flows.values("user"), is_active=True).first()
    if user is None:
        return None
    with transaction.atomic(using="system"):
        agent = flows.values_list("agent", flat=True).first()
        # of two simultaneous polls, only one deletes the flow
        if agent is None or not flows.delete()[0]:
            return None
        _, text = AppPassword.objects.issue(user.pk, agent, now)
    return Granted(user.username, text)
