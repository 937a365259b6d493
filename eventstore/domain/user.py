"""The aggregate: everything that one listener's stream says, topic by topic."""

from typing import TypeAlias, assert_never
from uuid import UUID

import msgspec

from eventstore.domain import plays, subscriptions, sync
from eventstore.domain.messages import Event
from eventstore.domain.plays import (
    PlayEvent,
    PlayRecorded,
    PlayStatuses,
    PositionUpdated,
    RecordPlay,
    UpdatePosition,
)
from eventstore.domain.subscriptions import (
    Subscribe,
    SubscriptionEvent,
    Subscriptions,
    Unsubscribe,
    UserSubscribed,
    UserUnsubscribed,
)
from eventstore.domain.sync import SyncConflict, SyncData, SyncUserData

UserCommand: TypeAlias = Subscribe | Unsubscribe | RecordPlay | UpdatePosition | SyncUserData
UserEvent: TypeAlias = SubscriptionEvent | PlayEvent


class User(msgspec.Struct):
    """The folded state. ``evolve`` changes it in place: a copy per event would be quadratic on replay."""

    user_id: UUID
    subscriptions: Subscriptions = {}
    plays: PlayStatuses = {}

    @property
    def size(self) -> int:
        """How many entries it holds: what it costs to keep."""
        return len(self.subscriptions) + len(self.plays)

    def document(self, since: list[Event] | None = None) -> SyncData:
        """Everything, or what the events ``since`` changed, as devices sync it."""
        return sync.document((self.subscriptions, self.plays), since)

    def conflicts(self, command: SyncUserData) -> list[SyncConflict]:
        """The entries of ``command`` that lost, asked after it was recorded."""
        return sync.conflicts((self.subscriptions, self.plays), command)


def decide(user: User, command: UserCommand) -> list[Event]:
    """The events that a command leads to; none when nothing changes. Pure. Raises ``DomainError``."""
    match command:
        case Subscribe() | Unsubscribe():
            return subscriptions.decide(user.subscriptions, command)
        case RecordPlay() | UpdatePosition():
            return plays.decide(user.plays, command)
        case SyncUserData():
            return sync.decide((user.subscriptions, user.plays), command)
        case _:
            assert_never(command)


def evolve(user: User, event: UserEvent) -> None:
    """Fold one event into the state, in place. Judges nothing: what is recorded has happened."""
    match event:
        case PlayRecorded() | PositionUpdated():
            plays.evolve(user.plays, event)
        case UserSubscribed() | UserUnsubscribed():
            subscriptions.evolve(user.subscriptions, event)
        case _:
            assert_never(event)
