"""What a web process answers in its event loop, and the connections for that, each opened when it is first
needed."""

from collections.abc import Iterator

from accounts.gates import Shortcut
from api.v1.shortcuts import ListedSubscriptions
from playgateway.seeking import Seeks
from projections.pipeline import Pipeline


class Shortcuts:
    """All shortcuts, in the order in which they are asked. For one event loop."""

    def __init__(self) -> None:
        self.system, self.projections = Pipeline("system"), Pipeline("projections")
        self.pipelines = (self.system, self.projections)
        self._all: tuple[Shortcut, ...] = (
            Seeks(self.system),
            ListedSubscriptions(self.system, self.projections),
        )

    def __iter__(self) -> Iterator[Shortcut]:
        return iter(self._all)
