"""The projectors of topics: they merge rows by the same declaration as the fold."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

import msgspec
from psycopg import Cursor, sql

from eventstore.domain.checkpoint import UserCheckpoint
from eventstore.domain.episodes import EpisodeIdentified
from eventstore.domain.fields import ITEM, values_of
from eventstore.domain.messages import Event
from eventstore.domain.ordered import OrderedSet
from eventstore.domain.register import Register
from eventstore.domain.times import NEVER
from eventstore.domain.topic import Topic
from projections.projectors.merging import columns_of, merge_of
from projections.projectors.rows import Rows, listed
from projections.projectors.shape import Apply, Fact, Projector, Tables, answer, as_json

# the listener, and the id of the list
Named: TypeAlias = tuple[UUID, str]
Users: TypeAlias = dict[UUID, dict[str, Any]]

KNOWN = sql.SQL("""
SELECT {columns} FROM {table} JOIN jsonb_to_recordset(%s::jsonb) AS asked (user_id uuid, {id} uuid)
 USING (user_id, {id})
""")

# each name once, at the place of the first of the two
JOIN_IN_ORDER = sql.SQL("""
UPDATE {table} SET {order} = ARRAY(
    SELECT name
      FROM unnest(array_replace({order}, %(known)s, %(key)s)) WITH ORDINALITY AS placed (name, place)
     GROUP BY name ORDER BY min(place))
 WHERE user_id = %(user)s AND %(known)s = ANY({order})
""")


class Entries:
    """The table of a register's entries. ``within``: the column of the list that contains them."""

    def __init__(self, register: Register[Any], table: str, within: str | None = None) -> None:
        key = register.key
        keys = ["user_id", *filter(None, [within]), key.column]
        columns = dict.fromkeys(keys, "uuid") | dict.fromkeys(key.fields, "text") | columns_of(register)
        self.rows = Rows(table, columns, keys=len(keys), merge=merge_of(register))
        self._row = msgspec.defstruct("Row", list(columns), gc=False)
        self._key = key
        self._values = values_of(register.fields)

    def join(self, cursor: Cursor[Any], tables: Tables, event: EpisodeIdentified) -> None:
        """Do what ``Register.join`` does in the fold."""
        of_episode, column = self._key.of_episode, self._key.column
        if of_episode is not None:
            known_key, key = (self._key.digest(of_episode(one)) for one in (event.known_key, event.key))
            of = {"user_id": event.user_id, column: UUID(known_key)}
            self.rows.move(cursor, tables, of, {column: UUID(key), ITEM: event.rss_source_item})

    def row(self, key: str, state: Any, *whose: Any) -> msgspec.Struct:
        return self._row(*whose, self._key.digest(key), *self._key.named(key).values(), *self._values(state))


class Headers(Rows):
    """The table of the ordered sets themselves: its rows are read before they are written.

    An event may carry only a part of a set, so SQL cannot merge it without the rest. Sets change rarely, and
    that costs one round trip for a batch in which one does. ``order``: the column of a list's order.
    """

    def __init__(self, register: OrderedSet[Any, Any], table: str, order: str) -> None:
        self.register = register
        self.id = register.key.column
        fields = columns_of(register)
        columns = {"user_id": "uuid", self.id: "uuid"} | {
            (order if name == "order" else name): kind for name, kind in fields.items()
        }
        # an incoming row was computed from the existing one, and replaces it
        merge = ", ".join(f"{name} = EXCLUDED.{name}" for name in list(columns)[2:])
        super().__init__(table, columns, keys=2, merge=merge)
        self._names = tuple(fields)
        self._row = msgspec.defstruct("Row", list(columns), gc=False)
        self._values = values_of(fields)

    def changed_by(self, facts: Sequence[Fact]) -> set[Named]:
        """Return the lists that events change themselves, and not only their members."""
        read, events = self.register.key.read, self.register.carriers.keys() - self.register.members.carriers
        return {(event.user_id, read(event)) for _, event in facts if type(event) in events}

    def rows_of(self, named: Collection[Named], users: Users) -> Iterator[msgspec.Struct]:
        """Yield the rows of those of these lists that are known; a checkpoint may have left some out."""
        for user_id, key in named:
            of = users[user_id].get(key)
            if of is not None and self.register.is_known(of):
                yield self._row(user_id, key, *self._values(of))

    def known(self, cursor: Cursor[Any], tables: Tables, named: Collection[Named]) -> Users:
        """Return those of these lists that exist, without their members."""
        users: Users = {}
        if not named:
            return users
        asked = [{"user_id": user_id, self.id: key} for user_id, key in named]
        statement = KNOWN.format(
            columns=listed(self.columns), table=tables[self.table], id=sql.Identifier(self.id)
        )
        for user_id, key, *values in answer(cursor, statement, [as_json(asked)]):
            fields = dict(zip(self._names, values, strict=True))
            state = self.register.state(**fields | {"order": tuple(fields["order"])})
            users.setdefault(user_id, {})[str(key)] = state
        return users


class Shown(NamedTuple):
    """Another topic whose entries are the members of one list, which has no events about its members."""

    topic: Topic
    list_id: Callable[[UUID], UUID]
    member: Callable[[Any], Any]


def project_register(topic: Topic, table: str) -> Projector:
    """Return the projector of a topic that is a register."""
    entries = Entries(topic.register, table)

    def apply_part(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
        users, replaced = _fold(topic, facts, {})
        rows = [entries.row(key, one, user_id) for user_id, of in users.items() for key, one in of.items()]
        entries.rows.put(cursor, tables, rows, replaced)

    return _projector(topic, (table,), topic.register.carriers, between_joins(apply_part, entries.join))


def project_ordered_set(
    topic: Topic, *, lists: str, order: str, members: str, shown: Shown | None = None
) -> Projector:
    """Return the projector of a topic that is an ordered set: tables of the ``lists`` and of their
    ``members``."""
    register = topic.register
    assert isinstance(register, OrderedSet)
    headers = Headers(register, lists, order)
    entries = Entries(register.members, members, register.key.column)
    beside = shown.topic.register.carriers if shown else {}

    def rows_of(users: Users) -> Iterator[msgspec.Struct]:
        for user_id, of in users.items():
            for key, one in of.items():
                for name, member in one.members.items():
                    yield entries.row(name, member, user_id, key)

    def rows_of_shown(facts: Sequence[Fact]) -> Iterator[msgspec.Struct]:
        assert shown is not None
        for user_id, of in _fold(shown.topic, facts, {})[0].items():
            for key, one in of.items():
                yield entries.row(key, shown.member(one), user_id, shown.list_id(user_id))

    def apply_part(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
        changed = headers.changed_by(facts)
        users, replaced = _fold(topic, facts, headers.known(cursor, tables, changed))
        changed |= {(user_id, key) for user_id in replaced for key in users[user_id]}
        headers.put(cursor, tables, list(headers.rows_of(changed, users)), replaced)
        rows = [*rows_of(users), *(rows_of_shown(facts) if shown else ())]
        entries.rows.put(cursor, tables, rows, replaced)

    def join(cursor: Cursor[Any], tables: Tables, event: EpisodeIdentified) -> None:
        if register.members.key.of_episode is None:
            return
        entries.join(cursor, tables, event)
        keys = {"user": event.user_id, "known": event.known_key, "key": event.key}
        cursor.execute(JOIN_IN_ORDER.format(table=tables[lists], order=sql.Identifier(order)), keys)

    apply = between_joins(apply_part, join)
    return _projector(topic, (lists, members), register.carriers | beside, apply)


def between_joins(apply_part: Apply, join: Callable[[Cursor[Any], Tables, EpisodeIdentified], None]) -> Apply:
    """Return an ``apply`` that splits a batch at the events by which two episodes turn out to be one."""

    def apply(facts: Sequence[Fact], cursor: Cursor[Any], tables: Tables) -> None:
        start = 0
        for place, (_, event) in enumerate(facts):
            if isinstance(event, EpisodeIdentified):
                apply_part(facts[start:place], cursor, tables)
                join(cursor, tables, event)
                start = place + 1
        apply_part(facts[start:], cursor, tables)

    return apply


def _fold(topic: Topic, facts: Sequence[Fact], users: Users) -> tuple[Users, set[UUID]]:
    """Return the entries of each user that events change, and the users with a checkpoint among them."""
    register, replaced = topic.register, set()
    for _, event in facts:
        if isinstance(event, UserCheckpoint):
            users[event.user_id] = register.prune(getattr(event, topic.name), NEVER)
            replaced.add(event.user_id)
        elif type(event) in register.carriers:
            register.evolve(users.setdefault(event.user_id, {}), event)
    return users, replaced


def _projector(
    topic: Topic, tables: tuple[str, ...], events: Mapping[type[Event], Any], apply: Any
) -> Projector:
    return Projector(topic.name, frozenset((*events, EpisodeIdentified, UserCheckpoint)), tables, apply)
