"""A projector may be shared out: each shard applies the events of its own streams, at a position of its own.

A listener is one stream, so his order is kept. Which shards there are is written in the rows of
``users.projector_positions`` (layouts.py); the setting only says what to change them to. How far a projector
has come, for whoever reads, is how far the last of its shards has.
"""

from typing import Final, NamedTuple


class Shard(NamedTuple):
    """The streams whose id leaves the remainder ``number`` when divided by ``of``.

    Ids are given out one by one, so they spread evenly; SQL says ``mod(stream, of) = number``.
    """

    number: int
    of: int

    def has(self, stream: int) -> bool:
        return stream % self.of == self.number

    def label(self, projector: str) -> str:
        """What logs, locks and threads call this part of a projector; its name where the part is all."""
        return projector if self.of == 1 else f"{projector} {self.number + 1}/{self.of}"


WHOLE: Final = Shard(0, 1)


def shards(of: int) -> list[Shard]:
    return [Shard(number, of) for number in range(of)]


def share(of: int, rank: int, processes: int) -> int:
    """How many of so many shards are for the process of this ``rank`` (from 0): as even as it goes."""
    return of // processes + (rank < of % processes)
