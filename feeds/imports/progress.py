"""The progress of an import from another server, and its report. Stored with the import as JSON."""

import re
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

Kind: TypeAlias = Literal["devices", "podcasts", "episodes", "settings", "favourites"]
Stage: TypeAlias = Literal["looking", "devices", "podcasts", "episodes", "settings", "favourites", "done"]
KINDS: Final[tuple[Kind, ...]] = ("devices", "podcasts", "episodes", "settings", "favourites")
# limits for reporting refused items: number of rows, length of a text
MOST_ROWS: Final = 500
LONGEST_TEXT: Final = 300
_CREDENTIALS: Final = re.compile(r"//[^/?#\s]*@")


class Counts(Struct):
    new: int = 0
    known: int = 0
    refused: int = 0

    def add(self, other: "Counts") -> None:
        self.new += other.new
        self.known += other.known
        self.refused += other.refused


class Refusal(Struct):
    """A refused item: the ``number``-th of its kind, counted from 1."""

    kind: Kind
    number: int
    text: str
    code: str


class Progress(Struct):
    """The progress of an import.

    - ``counts``: items of the finished parts.
    - ``part``: items of the current part, which is started anew if a worker dies in it; the rows after
      ``settled_rows`` belong to it.
    - ``since`` and ``page``: where the next page of actions starts, and the digest of the last page.
    - ``tries``: how often the server has failed in a row; ``fault``: its last failure.
    - ``place``: the host that the server redirects to.
    - ``is_again``: the same account was imported before.
    - ``missed``: kinds of data that the server has but did not deliver.
    - ``is_short``: only the newest action of each episode was imported.
    - ``expected``: the number of items in the current stage, as far as is known.
    - ``position``: the position in the log at which the imported data can be read.
    """

    flavour: str = ""
    stage: Stage = "looking"
    counts: dict[Kind, Counts] = {}
    part: Counts = msgspec.field(default_factory=Counts)
    rows: list[Refusal] = []
    settled_rows: int = 0
    since: int = 0
    page: str = ""
    tries: int = 0
    fault: str = ""
    place: str = ""
    expected: int = 0
    is_again: bool = False
    is_short: bool = False
    missed: list[Kind] = []
    position: int = 0

    def begin_part(self) -> None:
        self.part = Counts()
        del self.rows[self.settled_rows :]

    def settle_part(self, kind: Kind) -> None:
        self.counts.setdefault(kind, Counts()).add(self.part)
        self.part, self.settled_rows = Counts(), len(self.rows)
        self.tries, self.fault = 0, ""

    def refuse(self, kind: Kind, number: int, text: Any, code: str) -> None:
        self.part.refused += 1
        if len(self.rows) < MOST_ROWS:
            shown = _CREDENTIALS.sub("//…@", text) if isinstance(text, str) else ""
            self.rows.append(
                Refusal(kind, number, "".join(filter(str.isprintable, shown))[:LONGEST_TEXT], code)
            )

    def of(self, kind: Kind) -> Counts:
        """Return the counts of a kind, the current part included."""
        found = Counts()
        found.add(self.counts.get(kind, Counts()))
        if kind == self.stage:
            found.add(self.part)
        return found

    def done(self, kind: Kind) -> int:
        """Return the number of items of a kind in finished parts."""
        counts = self.counts.get(kind, Counts())
        return counts.new + counts.known + counts.refused


_DECODE = msgspec.json.Decoder(Progress).decode
encode = msgspec.json.Encoder().encode


def decode(kept: bytes) -> Progress:
    return _DECODE(kept) if kept else Progress()
