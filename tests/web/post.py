"""Helpers to read e-mails to listeners, which pages order and the worker's task sends."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from django.core import mail
from django.core.mail import EmailMessage

from accounts.mails import wanted
from jobs import mails
from tests import leaks


@contextmanager
def delivered() -> Iterator[list[Any]]:
    """Send what is ordered in this block at once, by the worker's task. Yields the user ids of all orders,
    including those addressed to nobody."""
    ordered: list[Any] = []

    def deliver(kind: Any, user_id: Any, language: str, **_: Any) -> None:
        ordered.append(user_id)
        mails.send.apply(args=(kind, user_id and str(user_id), language)).get()

    wanted.disconnect(mails.order)
    wanted.connect(deliver)
    try:
        yield ordered
    finally:
        wanted.disconnect(deliver)
        wanted.connect(mails.order)


def last_mail() -> EmailMessage:
    return mail.outbox[-1]


def link_in(message: EmailMessage) -> str:
    """Return the path of the only link in the message, which has a token."""
    found = re.findall(r"http\S+", str(message.body))
    path: str = urlsplit(found[0]).path
    leaks.remember(path.rpartition("/")[2])
    return path
