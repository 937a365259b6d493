"""A store at another place, for as long as it is being made there."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connections
from django.db.utils import load_backend

from operations.fence import PASSES


@contextmanager
def standing_in(alias: str, settings: Mapping[str, Any]) -> Iterator[None]:
    """In this thread ``alias`` is the store at ``settings`` (``balados.databases.store``).

    Without a pool, and let through the fence of a store that is being filled. Threads that it starts see the
    usual one.
    """
    usual = connections[alias]
    options = {key: value for key, value in settings["OPTIONS"].items() if key != "pool"}
    options["options"] = f"{options.get('options', '')} -c {PASSES}=on".strip()
    wanted = {**usual.settings_dict, **settings, "OPTIONS": options}
    other = load_backend(wanted["ENGINE"]).DatabaseWrapper(wanted, alias)
    connections[alias] = other
    try:
        yield
    finally:
        other.close()
        connections[alias] = usual
