"""How far an import from another server is, and what its report says. Kept with the import as JSON."""

import re
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

Kind: TypeAlias = Literal["devices", "podcasts", "episodes", "settings", "favourites"]
Stage: TypeAlias = Literal["looking", "devices", "podcasts", "episodes", "settings", "favourites", "done"]
KINDS: Final[tuple[Kind, ...]] = ("devices", "podcasts", "episodes", "settings", "favourites")
# of what was refused so much is told in full
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
    """What was refused: the ``number``-th of its kind, from 1."""

    kind: Kind
    number: int
    text: str
    code: str


class Progress(Struct):
    """``counts``: of what is settled. ``part``: of what is under way, begun anew where a worker dies in it;
    the rows past ``settled_rows`` belong to it. ``since`` and ``page``: where the next page of actions
    begins, and the digest of the last. ``tries``: how often the server has failed in a row, ``fault`` how the
    last time. ``place``: where the server leads to. ``is_again``: the same account was brought along before.
    ``missed``: what the server has and did not give. ``is_short``: of each episode the newest action alone.
    ``expected``: how many there are of what is under way, as far as is known. ``position``: of the log, where
    it can be read.
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
        """Everything so far, what is under way included."""
        found = Counts()
        found.add(self.counts.get(kind, Counts()))
        if kind == self.stage:
            found.add(self.part)
        return found

    def done(self, kind: Kind) -> int:
        """How many of a kind are settled."""
        settled = self.counts.get(kind, Counts())
        return settled.new + settled.known + settled.refused


_DECODE = msgspec.json.Decoder(Progress).decode
encode = msgspec.json.Encoder().encode


def decode(kept: bytes) -> Progress:
    return _DECODE(kept) if kept else Progress()
