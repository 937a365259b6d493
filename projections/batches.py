"""A batch of events, as it is handed to the projectors."""

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress

from eventstore import codec
from eventstore.codec import CodecError
from eventstore.domain.messages import Event
from eventstore.log import RecordedEvent
from projections.projectors.shape import Fact


class Batch:
    """Events in global order, each decoded at most once, however many projectors ask.

    A projector that has applied it is at ``upto``: the position of the last event, or a later one if no event
    can appear any more below that.
    """

    def __init__(
        self, events: Sequence[RecordedEvent], upto: int, decoded: dict[int, Event] | None = None
    ) -> None:
        self.events = events
        self.upto = upto
        self._decoded: dict[int, Event] = {} if decoded is None else decoded

    def without(self, types: Container[str], after: int) -> list[RecordedEvent]:
        """Return the events after ``after`` whose type is not among ``types``, each once."""
        wanted = []
        for recorded in self.events:
            if recorded.position > after:
                after = recorded.position
                if recorded.type not in types:
                    wanted.append(recorded)
        return wanted

    def decode(self, events: Iterable[RecordedEvent], besides: Container[str]) -> None:
        """Decode events ahead of ``facts``, which is where an event that cannot be decoded fails."""
        for recorded in events:
            if recorded.type not in besides:
                with suppress(CodecError):
                    self._event(recorded)

    def facts(self, events: Sequence[RecordedEvent]) -> list[Fact]:
        """Return the events decoded. Raises ``CodecError`` at the first one that cannot be decoded."""
        return [Fact(recorded, self._event(recorded)) for recorded in events]

    def halves(self) -> Iterator["Batch"]:
        middle = len(self.events) // 2
        first, second = self.events[:middle], self.events[middle:]
        yield Batch(first, first[-1].position, self._decoded)
        yield Batch(second, self.upto, self._decoded)

    def _event(self, recorded: RecordedEvent) -> Event:
        event = self._decoded.get(recorded.position)
        if event is None:
            event = codec.decode(recorded.type, recorded.schema, recorded.data)
            self._decoded[recorded.position] = event
        return event
