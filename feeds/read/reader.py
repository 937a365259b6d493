"""From bytes to episodes: parse strictly, else with recovery, else with feedparser. Pure.

Strictly means with Python's own parser where the document is plain, else with lxml.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from feeds.documents import Channel, Document, Episode
from feeds.read.beginning import Beginning, inspect
from feeds.read.charset import to_utf8
from feeds.read.context import Context
from feeds.read.fallback import read_with_feedparser
from feeds.read.mending import mend, replace_entities
from feeds.read.plain import NotPlain, PlainContext, PlainReading
from feeds.read.xml import NoFeed, NotWellFormed, Reading

READER_VERSION = 1  # increase it when the same document is read differently: stored feeds are then read again
MOST_EPISODES = 10_000  # the newest are kept

Sink = Callable[[Episode], None]


def read(body: bytes, *, content_type: str, url: str, begin: Callable[[], Sink]) -> Document:
    """Read a feed that came from ``url``, and pass on its episodes one by one.

    ``begin`` is called at the start of each attempt and returns a function that takes the episodes; only
    those of the last attempt count. Raises ``UnreadableFeed``.
    """
    text, is_guessed = to_utf8(body, content_type)
    beginning = inspect(text)
    attempt = _Attempt(beginning, url, begin)
    if is_guessed:
        attempt.flaws.append("encoding_guessed")
    if not is_guessed and not beginning.is_damaged:
        try:
            return attempt.strict()
        except NotWellFormed:
            pass
        except NoFeed:
            return attempt.fallback()
    attempt.flaws.append("not_well_formed")
    try:
        return attempt.recovering()
    except (NotWellFormed, NoFeed):
        return attempt.fallback()


class _Attempt:
    """The three ways of reading one document. ``flaws``: warnings that make it a recovered one."""

    def __init__(self, beginning: Beginning, url: str, begin: Callable[[], Sink]) -> None:
        self.flaws: list[str] = []
        self._text = replace_entities(beginning.text) if beginning.has_doctype else beginning.text
        self._may_be_plain = bool(beginning.root) and not beginning.has_doctype
        self._url = url
        self._begin = begin

    def strict(self) -> Document:
        if self._may_be_plain:
            with suppress(NotPlain, _ManyEpisodes):
                return self._read_plain()
        return self._read_xml(self._text, recover=False)

    def recovering(self) -> Document:
        return self._read_xml(mend(self._text), recover=True)

    def fallback(self) -> Document:
        context = Context(self._url)
        tally = _Tally(self._begin())
        channel = read_with_feedparser(self._text, url=self._url, hand_on=tally, context=context)
        return self._document(channel, tally, context, is_cut=True)

    def _read_plain(self) -> Document:
        context, tally = PlainContext(self._url, self._text), _Tally(self._begin(), most=MOST_EPISODES)
        channel = PlainReading(self._text, context, tally).run()
        return self._document(channel, tally, context, is_cut=False)

    def _read_xml(self, text: bytes, *, recover: bool) -> Document:
        try:
            return self._pass_through(text, _Tally(self._begin(), most=MOST_EPISODES), recover=recover)
        except _ManyEpisodes:
            dates: list[datetime | None] = []
            survey = Reading(text, Context(self._url), recover=recover)
            survey.run(lambda episode: dates.append(episode.published_at))
            chosen = _newest(dates, MOST_EPISODES)
            return self._pass_through(text, _Tally(self._begin(), chosen=chosen), recover=recover)

    def _pass_through(self, text: bytes, tally: "_Tally", *, recover: bool) -> Document:
        context = Context(self._url)
        reading = Reading(text, context, recover=recover)
        channel = reading.run(tally)
        return self._document(channel, tally, context, is_cut=reading.is_cut)

    def _document(self, channel: Channel, tally: "_Tally", context: Context, *, is_cut: bool) -> Document:
        if tally.has_left_out:
            context.warn("old_items_left_out")
        return Document(
            channel=channel,
            episode_count=tally.count,
            oldest_at=tally.oldest_at,
            recovered=is_cut or bool(self.flaws),
            warnings=[*self.flaws, *context.warnings],
        )


class _ManyEpisodes(Exception):
    pass


class _Tally:
    """Passes episodes on and counts them.

    ``most``: the number beyond which it raises ``_ManyEpisodes``. ``chosen``: which episodes to pass on.
    """

    def __init__(self, hand_on: Sink, most: int | None = None, chosen: bytearray | None = None) -> None:
        self.count = 0
        self.oldest_at: datetime | None = None
        self.has_left_out = chosen is not None
        self._hand_on = hand_on
        self._most = most
        self._chosen = chosen
        self._seen = 0

    def __call__(self, episode: Episode) -> None:
        self._seen += 1
        if self._chosen is not None and not self._chosen[self._seen - 1]:
            return
        if self.count == self._most:
            raise _ManyEpisodes
        self.count += 1
        at = episode.published_at
        if at is not None and (self.oldest_at is None or at < self.oldest_at):
            self.oldest_at = at
        self._hand_on(episode)


def _newest(dates: list[datetime | None], most: int) -> bytearray:
    """Return for each episode whether it is among the newest, undated ones last; the first of equals wins."""
    times = [moment.timestamp() if moment else 0.0 for moment in dates]
    chosen = bytearray(len(times))
    for index in sorted(range(len(times)), key=lambda index: (-times[index], index))[:most]:
        chosen[index] = 1
    return chosen
