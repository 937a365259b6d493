"""The mails of an account: their texts and recipients. Other modules decide which of them are sent.

A link is made when its mail is sent: one that waited for a mail server is as good as a fresh one, and no
queue holds anything that gives access to an account.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Final, Literal, NamedTuple

import redis
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.dispatch import Signal
from django.template.loader import render_to_string
from django.utils import translation
from django.utils.translation import gettext as _

from accounts.models import User
from accounts.recovery import address_link, reset_link

logger = logging.getLogger(__name__)

# confirm: the link for a new address. reset: the link for a new password. moved: tells the old address that
# it has been replaced. password: says that there is a new password.
Kind = Literal["confirm", "reset", "moved", "password"]
# Sent with ``kind``, ``user_id`` (None for no user, which takes as long) and ``language``; jobs/mails.py
# sends the mail. Its receiver raises ``redis.RedisError`` if no mail can be queued.
wanted = Signal()


class Letter(NamedTuple):
    """A mail without its greeting; the ``link``, shown as ``label``, is between the texts ``before`` and
    ``after``."""

    address: str
    subject: str
    before: str
    link: str
    label: str
    after: str


def order(kind: Kind, user: User | None) -> None:
    """Queue a mail for a worker, in the language of this page; do nothing if the server sends no mails.

    Raises ``redis.RedisError``.
    """
    if not settings.SENDS_MAIL:
        return
    user_id = None if user is None else user.pk
    wanted.send(sender=User, kind=kind, user_id=user_id, language=translation.get_language())


def order_soon(kind: Kind, user: User) -> None:
    """Like ``order``, but only log it if the mail cannot be queued: what it is about has already happened."""
    try:
        order(kind, user)
    except redis.RedisError as failure:
        logger.warning("A mail (%s) cannot be ordered (%s)", kind, type(failure).__name__)


def send(kind: Kind, user: User, language: str, now: datetime) -> bool:
    """Send a mail; False if there is no address to send it to.

    Raises ``OSError``, including ``smtplib.SMTPException``, if the mail server does not accept it.
    """
    with translation.override(user.language or language):
        letter = _LETTERS[kind](user, now)
        if not letter.address:
            return False
        context = {"letter": letter, "name": user.username, "instance": settings.PUBLIC_URL}
        mail = EmailMultiAlternatives(
            letter.subject,
            render_to_string("mails/mail.txt", context),
            to=[letter.address],
            # keeps automatic responders from answering
            headers={"Auto-Submitted": "auto-generated"},
        )
        mail.attach_alternative(render_to_string("mails/mail.html", context), "text/html")
        mail.send()
    return True


def _confirm(user: User, now: datetime) -> Letter:
    return Letter(
        user.new_email,
        _("Confirm your e-mail address"),
        _("This address was given for an account here. Confirm that it is yours:"),
        address_link(user, now),
        _("Confirm the address"),
        _("The link works once, within 24 hours. If this was not you, do nothing: nobody writes again."),
    )


def _reset(user: User, now: datetime) -> Letter:
    return Letter(
        user.email,
        _("A new password for Balados"),
        _("A new password was asked for. Set it here:"),
        reset_link(user, now),
        _("Set a new password"),
        _("The link works once, within 24 hours. If this was not you, do nothing: the old password stays."),
    )


def _moved(user: User, now: datetime) -> Letter:
    return Letter(
        user.old_email,
        _("Your e-mail address was changed"),
        _("Mails for this account no longer go to this address. If you have changed it, all is well."),
        f"{settings.PUBLIC_URL}/settings/password",
        _("Change the password"),
        _("If this was not you, change your password at once, then your address."),
    )


def _password(user: User, now: datetime) -> Letter:
    return Letter(
        user.email,
        _("Your password was changed"),
        _("This account has a new password; other browsers are logged out. If it was you, all is well."),
        f"{settings.PUBLIC_URL}/users/reset",
        _("Set a new password"),
        _("If this was not you, set a new password at once."),
    )


_LETTERS: Final[dict[Kind, Callable[[User, datetime], Letter]]] = {
    "confirm": _confirm,
    "reset": _reset,
    "moved": _moved,
    "password": _password,
}
