"""The privacy level of a podcast or an episode: who sees what the listener does with it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from eventstore.domain import privacy
from eventstore.domain.identifiers import digests_of
from eventstore.domain.privacy import InForce, Level, PrivacySetting
from eventstore.domain.secrets import is_secret_feed
from projections import exposure
from projections.exposure import Scope
from web.addresses import in_path

Text = str | Promise
# from the most to the least visible
LEVELS: Final[tuple[Level, ...]] = ("public", "anonymous", "private")
ICONS: Final[dict[str, str]] = {"public": "globe", "anonymous": "venetian-mask", "private": "lock"}
NAMES: Final[dict[str, Text]] = {
    "public": _("Public"),
    "anonymous": _("Anonymous"),
    "private": _("Private"),
}
MEANINGS: Final[dict[str, Text]] = {
    "public": _("Others see what you do here, with your name."),
    "anonymous": _("It counts, but nobody sees that it was you: no name, and only the hour."),
    "private": _("Only you see it."),
}
ACCOUNT_MEANINGS: Final[dict[str, Text]] = {
    "public": _("Others see which podcasts you follow and what you play, save and share, with your name."),
    "anonymous": _(
        "It counts, but you are not named. The timeline says “Somebody” and only the hour, nothing ties two"
        " of your acts together, and figures count it once three people are behind them."
    ),
    "private": _("Nobody but you sees anything, and it counts nowhere."),
}
SOURCES: Final[dict[str, Text]] = {
    "item": _("Set for this episode."),
    "feed": _("Set for this podcast."),
    "user": _("As your account says."),
    "instance": _("As this server says for everybody who chooses nothing."),
}
SECRET: Final = _("The address of this podcast is a key of yours, so nothing of it is shown to others.")
BLOCKED: Final = _("This podcast is kept out of public lists, so nothing of it is shown to others.")


class EffectiveLevel(NamedTuple):
    """The level of a podcast, or with ``item`` of an episode. ``own``: the level set for itself, or None.
    ``closed``: why it is private whatever is set, or ""."""

    feed: str
    item: str | None
    level: Level
    source: str
    own: Level | None
    closed: Text = ""

    @property
    def path(self) -> str:
        """Return the path at which the level is changed."""
        if self.item is None:
            return f"/podcasts/{in_path(self.feed)}/privacy"
        return f"/episodes/{in_path(self.item)}/privacy?{urlencode({'feed': in_path(self.feed)})}"

    @property
    def place(self) -> str:
        """Return the id of the HTML element that shows it."""
        feed_key, item_key = digests_of(self.feed, self.item)
        return f"privacy-{item_key or feed_key}"

    @property
    def icon(self) -> str:
        return ICONS[self.level]

    @property
    def name(self) -> Text:
        return NAMES[self.level]

    @property
    def why(self) -> str:
        """Return what the level means here, and where it comes from."""
        return str(self.closed) or f"{MEANINGS[self.level]} {SOURCES[self.source]}"


class LevelChoice(NamedTuple):
    """A level that may be chosen. ``value`` is "" for inheriting the next wider setting."""

    value: str
    icon: str
    name: str
    meaning: str
    is_set: bool


def of_feeds(
    user_id: UUID, feeds: Sequence[str], blocked: Iterable[str] | None = None
) -> dict[str, EffectiveLevel]:
    """Return the levels of these podcasts, by name. ``blocked``: the blocked ones
    among them, if already known."""
    closed = exposure.blocked(feeds) if blocked is None else set(blocked)
    known = exposure.settings_of(user_id, [(feed, None) for feed in feeds])
    return {feed: glance(known, (feed, None), is_blocked=feed in closed) for feed in feeds}


def of_episode(user_id: UUID, feed: str, item: str) -> EffectiveLevel:
    known = exposure.settings_of(user_id, [(feed, item)])
    return glance(known, (feed, item), is_blocked=bool(exposure.blocked([feed])))


def glance(known: Mapping[str, PrivacySetting], scope: Scope, *, is_blocked: bool) -> EffectiveLevel:
    """Return the level according to the ``known`` settings, whose keys are those of ``privacy.scope_of``."""
    feed, item = scope
    setting = known.get(privacy.scope_of(feed, item))
    own = setting.level if setting else None
    closed = SECRET if is_secret_feed(feed) else BLOCKED if is_blocked else ""
    found = InForce("private", "feed") if closed else privacy.in_force(known, feed, item, _default())
    return EffectiveLevel(feed, item, found.level, found.source, own, closed)


def choices(known: Mapping[str, PrivacySetting], scope: Scope) -> list[LevelChoice]:
    """Return the choices for a podcast or an episode: each level, and inheriting it."""
    feed, item = scope
    setting = known.get(privacy.scope_of(feed, item))
    own = setting.level if setting else None
    wider = privacy.in_force(known, feed if item else None, None, _default())
    by = {"feed": gettext("As the podcast: %(level)s"), "user": gettext("As your account: %(level)s")}
    named = by.get(wider.source, gettext("As this server proposes: %(level)s"))
    inherited = named % {"level": str(NAMES[wider.level]).lower()}
    return [
        *(
            LevelChoice(level, ICONS[level], str(NAMES[level]), str(MEANINGS[level]), own == level)
            for level in LEVELS
        ),
        LevelChoice("", "undo-2", inherited, gettext("It follows when that changes."), own is None),
    ]


def _default() -> Level:
    return exposure.default_level()
