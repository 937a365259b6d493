"""The main sections of the site, in the order of the navigation."""

from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy


class Section(NamedTuple):
    """A section of the site. ``paths``: the prefixes of the paths that belong to it.
    ``apart``: a line is drawn before it.

    ``on_phone``: it is shown in the bar at the bottom of a phone, which has room for five. ``others``: the
    prefixes of the paths that belong to it there, too.
    """

    label: str | Promise
    icon: str
    path: str
    paths: tuple[str, ...] = ()
    apart: bool = False
    on_phone: bool = True
    others: tuple[str, ...] = ()

    def holds(self, path: str) -> bool:
        """Whether a path belongs to it."""
        return path == self.path or path.startswith(self.paths)


DISCOVER = ("/trending/", "/timeline", "/search", "/subscriptions/new")
SECTIONS = (
    Section(_("Home"), "house", "/"),
    Section(_("Up next"), "list-ordered", "/queue", ("/queue/",), on_phone=False),
    Section(_("Podcasts"), "library", "/subscriptions", ("/podcasts/",)),
    Section(
        pgettext_lazy("navigation", "Playlists"),
        "list-music",
        "/playlists",
        ("/playlists/", "/collections"),
        others=("/queue",),
    ),
    Section(_("Discover"), "compass", "/trending/podcasts", DISCOVER),
    Section(_("History"), "history", "/history", on_phone=False),
    Section(_("Statistics"), "chart-column", "/statistics", on_phone=False),
    Section(
        _("Settings"),
        "settings",
        "/settings/account",
        ("/settings/", "/apps", "/privacy-manager"),
        apart=True,
        others=("/history", "/statistics"),
    ),
)


def sections(request: HttpRequest) -> dict[str, object]:
    """Context processor for every template: the sections, each with whether the requested page belongs to it,
    and whether it does on a phone; and whether pages are notified of changes at once."""
    path = request.path
    found = [(section, section.holds(path), path.startswith(section.others)) for section in SECTIONS]
    return {"navigation": found, "live": settings.LIVE}
