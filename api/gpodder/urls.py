"""All addresses of gpodder's protocol: below /api/2 and /api/1, and lists at the root."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from django.urls import URLPattern, re_path

from api.gpodder import (
    devices,
    directory,
    episodes,
    lists,
    settings,
    signing,
    subscriptions,
    updates,
)

PARTS = {
    "user": r"[\w.+@-]+",
    "name": r"[\w.+@-]+",
    "owner": r"[\w.+@-]+",
    "device": r"[\w.-]{1,255}",
    "scope": "[a-z]{1,16}",
    "count": "[0-9]{1,3}",
    "tag": r"[\w-]{1,100}",
    "fmt": "[a-z]{1,8}",
}
# our own pages have these addresses
NO_USERS = "(?!export/|new/|import/|export[.]|new[.]|import[.])"


def patterns(views: Mapping[str, Callable[..., Any]]) -> list[URLPattern]:
    return [re_path(f"^{_filled(path)}$", view) for path, view in views.items()]


def _filled(path: str) -> str:
    return re.sub(r"\{(\w+)\}", lambda found: f"(?P<{found[1]}>{PARTS[found[1]]})", path)


version_2 = patterns(
    {
        **signing.paths,
        **devices.paths,
        **subscriptions.paths,
        **episodes.paths,
        **settings.paths,
        **updates.paths,
        **lists.paths,
        **directory.paths,
    }
)
version_1 = patterns({**devices.paths, **subscriptions.paths, **episodes.paths_of_1})
root = patterns(
    {
        path.replace("subscriptions/", f"subscriptions/{NO_USERS}", 1): view
        for path, view in {**subscriptions.list_paths, **directory.list_paths}.items()
    }
)
