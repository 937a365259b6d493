"""Which protocol another server speaks, found out by asking it: gpodder's, or that of Nextcloud's app."""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from feeds.imports import answers
from feeds.imports.client import Account, ServerFault, ask

Flavour: TypeAlias = Literal["gpodder", "nextcloud"]
NEXTCLOUD: Final = "/index.php/apps/gpoddersync"
# it speaks, and not as wanted: another question may be answered
_OTHER: Final = frozenset({"not_found", "no_json", "wrong_password", "server_error", "too_many_redirects"})


def detect(account: Account) -> Flavour:
    """Raises ``ServerFault``: ``no_server``, ``no_app`` (a Nextcloud without podcasts), ``wrong_password``,
    ``nextcloud_password``, or why it does not answer at all."""
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
    """How it does not answer there as ``read`` takes it, or ""."""
    try:
        read(ask(account, path))
    except ServerFault as fault:
        return _other(fault)
    return ""


def _is_nextcloud(account: Account) -> bool:
    try:
        told = answers.decode(ask(account, "/status.php"))
    except ServerFault as fault:
        _other(fault)
        return False
    is_one = isinstance(told, dict) and told.get("installed") is True and "versionstring" in told
    return is_one and told.get("productname") != "Balados"  # which looks like one to apps


def _other(fault: ServerFault) -> str:
    """The code of an answer that is another than the wanted. Raises the fault where there is none."""
    if fault.code not in _OTHER:
        raise fault
    return fault.code
