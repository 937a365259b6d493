"""The main parts of the pages, in the order in which the navigation names them."""

from typing import NamedTuple

from django.http import HttpRequest
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Section(NamedTuple):
    """``paths``: the beginnings of the addresses that belong to it. ``on_phone``: it has a place in the bar
    at the bottom of a phone, which holds five. ``apart``: a line is drawn before it."""

    label: str | Promise
    icon: str
    path: str
    paths: tuple[str, ...] = ()
    on_phone: bool = True
    apart: bool = False

    def holds(self, path: str) -> bool:
        """Whether an address belongs to it."""
        return path == self.path or path.startswith(self.paths)


SECTIONS = (
    Section(_("Home"), "house", "/"),
    Section(_("Podcasts"), "library", "/subscriptions", ("/podcasts/",)),
    Section(_("Follow"), "circle-plus", "/subscriptions/new"),
    Section(_("Apps"), "smartphone", "/apps", apart=True),
    Section(_("Settings"), "settings", "/settings/account", ("/settings/",)),
)


def sections(request: HttpRequest) -> dict[str, object]:
    """For every template: the sections, each with whether the page that is asked for belongs to it."""
    return {"navigation": [(section, section.holds(request.path)) for section in SECTIONS]}
