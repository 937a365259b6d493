"""Find out by requests which protocol another server speaks: gpodder's, or that of Nextcloud's app."""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from feeds.imports import answers
from feeds.imports.client import Account, ServerFault, ask

Flavour: TypeAlias = Literal["gpodder", "nextcloud"]
NEXTCLOUD: Final = "/index.php/apps/gpoddersync"
# the server answers, but not as expected: another request may succeed
_OTHER: Final = frozenset({"not_found", "no_json", "wrong_password", "server_error", "too_many_redirects"})


def detect(account: Account) -> Flavour:
    """Return the protocol. Raises ``ServerFault``: ``no_server``, ``no_app`` (a Nextcloud without the podcast
    app), ``wrong_password``, ``nextcloud_password``, or why the server does not answer at all."""
    first = _probe(account, f"/api/2/devices/{account.user}.json", answers.devices)
    if not first:
        return "gpodder"
    is_nextcloud = _is_nextcloud(account)
    if first == "wrong_password" and not is_nextcloud:
        raise ServerFault("wrong_password")
    second = _probe(account, f"{NEXTCLOUD}/subscriptions?since=0", answers.followed)
    if not second:
        return "nextcloud"
    if is_nextcloud:
        raise ServerFault("nextcloud_password" if second == "wrong_password" else "no_app")
    is_broken = "server_error" in (first, second)
    raise ServerFault("server_error" if is_broken else "no_server")


def _probe(account: Account, path: str, read: Callable[[bytes], object]) -> str:
    """Return the code of the fault where ``read`` does not accept the answer to ``path``, or ""."""
    try:
        read(ask(account, path))
    except ServerFault as fault:
        return _other(fault)
    return ""


def _is_nextcloud(account: Account) -> bool:
    try:
        status = answers.decode(ask(account, "/status.php"))
    except ServerFault as fault:
        _other(fault)
        return False
    is_one = isinstance(status, dict) and status.get("installed") is True and "versionstring" in status
    return is_one and status.get("productname") != "Balados"  # Balados looks like a Nextcloud to apps


def _other(fault: ServerFault) -> str:
    """Return the code of a fault in an unexpected answer. Raises the fault where there was no answer."""
    if fault.code not in _OTHER:
        raise fault
    return fault.code
