"""Which projectors, and which of their shards, this process runs: those whose lock it holds.

An undivided projector belongs to whoever came first; the others stand by. The shards of a divided one are
shared out evenly among the processes that are alive: each takes of what is free up to its share, and gives
back what is beyond it. Nobody has to agree with anybody: two who see different things for a second leave a
shard waiting for so long, and which rows are written is decided by the position alone.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

from projections import layouts
from projections.connect import connect
from projections.locks import Locks
from projections.projectors.shape import Projector
from projections.shards import WHOLE, Shard, shards, share


class Unit(NamedTuple):
    """A projector, or a shard of it: what one lock is for."""

    projector: Projector
    shard: Shard

    @property
    def label(self) -> str:
        return self.shard.label(self.projector.name)


class Changes(NamedTuple):
    """``gone`` are labels."""

    gone: set[str]
    came: list[Unit]


class Holdings:
    """``of``: how many shards each projector is to be divided into, as far as this process has a say."""

    def __init__(self, projectors: Mapping[str, Projector], of: int) -> None:
        self._projectors = projectors
        self._of = of
        self._told = False
        self._locks = Locks()
        self._units = {name: Unit(projector, WHOLE) for name, projector in projectors.items()}

    @property
    def labels(self) -> Collection[str]:
        """Of everything that there is to hold, as last seen."""
        return self._units.keys()

    def settle(self, busy: Collection[str], stopped: Callable[[], bool]) -> Changes:
        """Look at what others have, take what is free and ours to take, and give back what is not.

        The first time, divide the projectors as we were told; later the store tells. Those that are ``busy``
        are not given back yet. Raises ``psycopg.OperationalError`` when the store is away: nothing is held
        then.
        """
        session = self._locks.session()
        known = layouts.layouts(session)
        if self._divide(known, stopped):
            known = layouts.layouts(session)
        found = {name: known.get(name, 1) for name in self._projectors}
        self._units = {
            unit.label: unit
            for name, of in found.items()
            for unit in (Unit(self._projectors[name], shard) for shard in shards(of))
        }
        rank, processes = (0, 1) if max(found.values(), default=1) == 1 else self._locks.place()
        ours = {name: share(of, rank, processes) if of > 1 else 1 for name, of in found.items()}
        gone = {label for label in self._locks.held if label not in self._units}
        gone |= set(self._beyond(ours, busy))
        for label in gone:
            self._locks.release(label)
        return Changes(gone, list(self._take(ours)))

    def release(self, label: str) -> None:
        self._locks.release(label)

    def close(self) -> None:
        self._locks.close()

    def _divide(self, known: Mapping[str, int], stopped: Callable[[], bool]) -> bool:
        """Whether something had to be divided: what is divided in another way, the first time; later what was
        wiped. A single row comes by itself.
        """
        standing = dict.fromkeys(known, self._of) if self._told else known
        wrong = [name for name in self._projectors if standing.get(name, 1) != self._of]
        if wrong:
            with connect("projections", application_name="balados-layout") as connection:
                for name in wrong:
                    layouts.lay_out(connection, self._projectors[name], self._of, stopped)
        self._told = True
        return bool(wrong)

    def _beyond(self, ours: Mapping[str, int], busy: Collection[str]) -> Iterator[str]:
        """What is held above our share, the last shards first."""
        held = self._held()
        for label in sorted(self._locks.held, reverse=True):
            unit = self._units.get(label)
            if unit is None or label in busy or held[unit.projector.name] <= ours[unit.projector.name]:
                continue
            held[unit.projector.name] -= 1
            yield label

    def _take(self, ours: Mapping[str, int]) -> Iterator[Unit]:
        for number in sorted({unit.shard.number for unit in self._units.values()}):
            held = self._held()
            lacking = [
                label
                for label, unit in self._units.items()
                if unit.shard.number == number and held[unit.projector.name] < ours[unit.projector.name]
            ]
            taken = self._locks.take(lacking)
            yield from (self._units[label] for label in lacking if label in taken)

    def _held(self) -> Counter[str]:
        """How many of each projector."""
        units = (self._units.get(label) for label in self._locks.held)
        return Counter(unit.projector.name for unit in units if unit is not None)
