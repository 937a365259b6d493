"""What would change for others if a listener changed his privacy levels, shown before it takes effect."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.models import User
from eventstore.domain.privacy import Level
from feeds.queries import feeds_for
from projections import exposure
from projections.exposure import Altered, Change
from web import activity_texts, privacy_levels
from web.activity_texts import ActivityLine
from web.display import Episode, Podcast

# the number of acts and podcasts listed for each kind of change
NAMED: Final = 5
# by the level before and after, in the order of the page
GROUPS: Final[dict[tuple[Level, Level], str | Promise]] = {
    ("private", "public"): gettext_lazy("New to others, with your name"),
    ("anonymous", "public"): gettext_lazy("Gets your name"),
    ("private", "anonymous"): gettext_lazy("New to others, without your name"),
    ("public", "anonymous"): gettext_lazy("Loses your name"),
    ("public", "private"): gettext_lazy("Vanishes, with your name"),
    ("anonymous", "private"): gettext_lazy("Vanishes; it was without your name"),
}


class Group(NamedTuple):
    """Acts that others would see differently; ``more``: how many there are beyond those listed."""

    heading: str
    total: int
    lines: list[ActivityLine]
    more: int


class Follows(NamedTuple):
    """Podcasts that would appear in, or disappear from, the listener's public list of followed podcasts."""

    heading: str
    total: int
    podcasts: list[Podcast | Episode]
    more: int


class Preview(NamedTuple):
    """The changes that others would see. ``is_cut``: only the latest acts were examined,
    because there are very many."""

    groups: list[Group]
    follows: list[Follows]
    is_cut: bool

    @property
    def is_empty(self) -> bool:
        """Whether others would see the same as before."""
        return not (self.groups or self.follows)


def of(user: User, changes: Sequence[Change]) -> Preview:
    """Return what others would see differently after these changes."""
    altered = exposure.preview(user.pk, changes)
    is_cut = len(altered) == exposure.MOST_ACTS
    now, then = exposure.followed(user.pk), exposure.followed(user.pk, changes)
    come = [feed for feed, level in then.items() if level == "public" != now.get(feed)]
    gone = [feed for feed, level in now.items() if level == "public" != then.get(feed)]
    named = {act.rss_source_feed for act in altered} | {*come[:NAMED], *gone[:NAMED]}
    known = activity_texts.titles(altered, feeds_for(user.pk, named))
    # what its publisher keeps out of public lists is not shown there, whatever the level
    altered = [act for act in altered if not known.is_blocked(act)]
    by_change = {key: [act for act in altered if (act.before, act.after) == key] for key in GROUPS}
    groups = [_group(user, key, found, known) for key, found in by_change.items() if found]
    follows = [
        _follows(_("Seen as followed by you"), come, known),
        _follows(_("No longer seen as followed by you"), gone, known),
    ]
    return Preview(groups, [each for each in follows if each.total], is_cut)


def heading(changes: Sequence[Change]) -> str:
    """Return what is about to be done, as a question."""
    level = changes[0].level if changes else None
    if changes and changes[0].feed is None:
        name = str(privacy_levels.NAMES[level or exposure.default_level()]).lower()
        return _("Make your account %(level)s?") % {"level": name}
    count = len(changes)
    if level is None:
        text = ngettext("Clear %(count)s level?", "Clear %(count)s levels?", count)
        return text % {"count": number_format(count)}
    text = ngettext(
        "Make %(count)s podcast or episode %(level)s?",
        "Make %(count)s podcasts or episodes %(level)s?",
        count,
    )
    return text % {"count": number_format(count), "level": str(privacy_levels.NAMES[level]).lower()}


def _group(user: User, key: tuple[Level, Level], found: list[Altered], known: activity_texts.Titles) -> Group:
    who = user.username if "public" in key else activity_texts.somebody()
    lines = [activity_texts.line(act, who, known) for act in found[:NAMED]]
    return Group(str(GROUPS[key]), len(found), lines, max(0, len(found) - NAMED))


def _follows(heading: str, feeds: list[str], known: activity_texts.Titles) -> Follows:
    podcasts: list[Any] = [known.podcast(feed) for feed in feeds[:NAMED]]
    return Follows(heading, len(feeds), podcasts, max(0, len(feeds) - NAMED))
