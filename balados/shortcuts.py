"""What a web process answers in its event loop, and the connections for that, each opened when it is first
needed: two, or up to four where the stores are in several databases."""

from collections.abc import Iterator

from django.conf import settings

from accounts.gates import Shortcut
from api.v1.shortcuts import ListedSubscriptions, RecordedPlays
from balados.databases import place_of
from playgateway.seeking import Seeks
from projections.pipeline import Appends, Pipeline


class Shortcuts:
    """All shortcuts, in the order in which they are asked. For one event loop."""

    def __init__(self) -> None:
        # Stores in one database share a connection: what a request asks of them is then one package each way.
        # The event store's comes first, because its statements need settings of their session.
        reads: dict[str, Pipeline] = {}
        for alias in ("events", "system", "projections"):
            reads.setdefault(place_of(settings.DATABASES[alias]), Pipeline(alias))
        self.events, self.system, self.projections = (
            reads[place_of(settings.DATABASES[alias])] for alias in ("events", "system", "projections")
        )
        # of its own, because a read must not wait for a commit
        self.appends = Appends("events")
        self.pipelines = (*reads.values(), self.appends)
        self._all: tuple[Shortcut, ...] = (
            Seeks(self.system),
            ListedSubscriptions(self.system, self.projections),
            RecordedPlays(self.system, self.events, self.appends),
        )

    def __iter__(self) -> Iterator[Shortcut]:
        return iter(self._all)
