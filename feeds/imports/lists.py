"""A listener's subscriptions on another server: the lists of all devices combined."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from feeds.actions import DEVICE
from feeds.imports import answers
from feeds.imports.client import ServerFault, ask
from feeds.imports.detect import NEXTCLOUD
from feeds.imports.run import Run

MOST_DEVICES: Final = 200
MOST_FEEDS: Final = 10_000
# number of addresses examined, refused ones included
MOST_LISTED: Final = 2 * MOST_FEEDS
# an address is cut to this length, which is more than a valid one may have
LONGEST: Final = 5_000
LONGEST_ODD: Final = 40
T = TypeVar("T")


def in_pieces(what: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (what[start : start + size] for start in range(0, len(what), size))


def followed(run: Run) -> list[str]:
    """Return the addresses as they are spelt there, each once. Raises ``ServerFault``."""
    account = run.account
    if run.progress.flavour == "nextcloud":
        return _once(answers.followed(ask(account, f"{NEXTCLOUD}/subscriptions?since=0")))
    # some servers keep a list that belongs to no device
    return _once(_of_devices(run)) or _once(
        answers.followed(ask(account, f"/subscriptions/{account.user}.json"))
    )


def _once(listed: Iterable[Any]) -> list[str]:
    """Return each address once; an endless list is cut off."""
    found: dict[str, None] = {}
    for url in listed:
        found[url[:LONGEST] if isinstance(url, str) else repr(url)[:LONGEST_ODD]] = None
        if len(found) >= MOST_LISTED:
            break
    return list(found)


def device_names(run: Run) -> list[str]:
    """Return the names of the devices there. Raises ``ServerFault``."""
    listed = answers.devices(ask(run.account, f"/api/2/devices/{run.account.user}.json"))
    names = [one.id for one in listed if isinstance(one.id, str) and DEVICE.fullmatch(one.id)]
    return names[:MOST_DEVICES]


def _of_devices(run: Run) -> Iterator[Any]:
    for name in device_names(run):
        try:
            path = f"/api/2/subscriptions/{run.account.user}/{name}.json?since=0"
            yield from answers.followed(ask(run.account, path))
        except ServerFault as fault:
            if fault.code != "not_found":  # a device that was never used for podcasts
                raise
