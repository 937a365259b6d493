"""Lists with a name and ordered members. There are two kinds: playlists of episodes and collections of feeds.
This module has what they share: their views, and most of their shapes."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
from django.urls import URLPattern, path
from msgspec import Struct, defstruct
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success
from api.auth import caller_of
from api.episodes import IN_ITEM
from api.errors import FieldError
from api.fields import Description, ListId, Name, PageQuery, Time
from api.operations import MIB, Operation, operation, redeclare
from api.titles import Titles, titles_for
from api.views import View
from eventstore.dispatcher import Outcome
from eventstore.domain.messages import Command
from eventstore.domain.ordered import Commands, OrderedSet
from eventstore.domain.user import User
from projections import lists as reads
from projections.queries import Page

MOST_MEMBERS = 50_000
READ, WRITE = "user.{many}.read", "user.{many}.write"
# names of body fields that are different in commands
IN_COMMANDS = {"rss_source_feed": "feed", "rss_source_item": "item", "added_at": "at", "removed_at": "at"}


class RemoveQuery(Struct):
    removed_at: Time | None = None


class NewList(Struct, kw_only=True):
    name: Name
    id: ListId | None = None
    description: Description | None = None
    is_public: bool = False


class ListChanges(Struct, kw_only=True):
    name: Name | None = None
    description: Description | None = None
    is_public: bool | None = None


class NewMember(Struct, kw_only=True):
    added_at: Time | None = None


class Order(Struct):
    """A new order of members. Subclasses have a list of members, and say how each is named."""

    def names(self) -> Sequence[Hashable]:
        raise NotImplementedError

    def errors(self) -> Iterator[FieldError]:
        """Yield an error for each member that is already listed further up."""
        names, (members, name) = self.names(), self.place
        first = {named: number for number, named in reversed(list(enumerate(names)))}
        for number, named in enumerate(names):
            if first[named] < number:
                yield FieldError("invalid", "Named twice.", f"{members}.{number}.{name}")

    place: ClassVar[tuple[str, str]]


class ListPath(Struct):
    """The path to a list; its only field is named by the kind."""


class MemberPath(Struct):
    """The path to a member; its fields are that of the list and that of the member."""


class Lists(Struct):
    pass


class WithMembers(Struct):
    pass


class Written(Struct):
    pass


class Deleted(Struct):
    pass


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of list.

    Its ``register`` has the nouns used in paths, fields and texts. ``taken``: the request bodies, subclasses
    of those above. ``list_name``: the type that names a list in a path; ``id_of``: returns the id of a user's
    list by that name. ``clear``: the command that empties a list, if any.
    """

    register: OrderedSet[Any, Any]
    reads: reads.Lists[Any, Any]
    shape: type[Struct]
    member_shape: type[Struct]
    member_name: Any
    list_name: Any = ListId
    id_of: Callable[[UUID, Any], UUID] = lambda user_id, name: name
    clear: Callable[..., Command] | None = None
    taken: Sequence[type[Struct]]
    show_member: Callable[[Any, Titles], Struct]
    state: Callable[[User, UUID], Struct]

    @property
    def one(self) -> str:
        return self.register.words.noun

    @property
    def many(self) -> str:
        return self.reads.topic

    @property
    def member(self) -> str:
        return self.register.words.member

    @property
    def content(self) -> str:
        """Return what people call a member."""
        return self.register.words.shown

    @cached_property
    def shapes(self) -> Sequence[type[Struct]]:
        """Return the structs that its operations take and return."""
        one, many, members = self.one, self.many, f"{self.member}s"
        name, follows = one.capitalize(), ("next_cursor", str | None)
        id_, member = (f"{one}_id", self.list_name), (self.member, self.member_name)
        shown = (
            f"The {one} with a page of its {self.content}s, in order; `next_cursor` leads to the next page."
        )
        written = f"The current state of the {one}, even if a later action had already won."
        contents = (members, list[self.member_shape])  # type: ignore[name-defined]
        return (
            *self.taken,
            _struct(Lists, many.capitalize(), (many, list[self.shape]), follows),  # type: ignore[name-defined]
            _struct(
                WithMembers,
                f"{name}With{members.capitalize()}",
                (one, self.shape),
                contents,
                follows,
                doc=shown,
            ),
            _struct(Written, f"{name}Written", ("status", Success), (one, self.shape), doc=written),
            _struct(Deleted, f"{name}Deleted", ("status", Success), ("id", UUID)),
            _struct(ListPath, f"{name}Path", id_),
            _struct(MemberPath, f"{name}{self.member.capitalize()}Path", id_, member),
        )

    def shape_of(self, struct: type[Struct] | None) -> Any:
        """Return this kind's own version of a struct that any kind has."""
        return struct and next((own for own in self.shapes if issubclass(own, struct)), struct)

    def describe(self, declared: Operation) -> Operation:
        """Return an operation on any kind of list, in the words and structs of this one."""
        words = {"one": self.one, "many": self.many, "member": self.member, "content": self.content}
        shaped = {place: self.shape_of(getattr(declared, place)) for place in ("path", "query", "body")}
        return declared._replace(
            summary=declared.summary.format(**words),
            description=" ".join(declared.description.format(**words).split()),
            answers={status: self.shape_of(struct) for status, struct in declared.answers.items()},
            **shaped,
        )


class ListView(View):
    kind: ClassVar[Kind]

    @property
    def commands(self) -> Commands:
        return self.kind.register.commands

    def dispatch_and_answer(
        self,
        request: Request,
        command: Callable[..., Command],
        list_id: UUID,
        creates: bool = False,
        **fields: Any,
    ) -> Response:
        """Dispatch ``command`` for a list, and answer with the list."""
        kind = self.kind
        named = {IN_COMMANDS.get(name, name): value for name, value in fields.items() if name not in IN_ITEM}
        order = answers.order(request, command, **{f"{kind.one}_id": list_id}, **named)

        def render(outcome: Outcome) -> Struct:
            if command is self.commands.delete:
                return kind.shape_of(Deleted)("success", list_id)  # type: ignore[no-any-return]
            return kind.shape_of(Written)("success", kind.state(outcome.user, list_id))  # type: ignore[no-any-return]

        return answers.dispatch_and_answer(request, order, render, creates=creates)

    def id_in(self, request: Request, path: ListPath | MemberPath) -> UUID:
        return self.kind.id_of(caller_of(request).user_id, getattr(path, f"{self.kind.one}_id"))


class ListsView(ListView):
    scopes = {"GET": READ, "POST": WRITE}

    @operation("List {many}", answers={200: Lists})
    def get(self, request: Request, query: PageQuery) -> Response:
        """The user's {many}, in a stable order."""
        kind, user_id = self.kind, caller_of(request).user_id
        return answers.answer_page(
            request,
            kind.many,
            lambda: kind.reads.page(user_id, query.cursor, query.limit),
            lambda rows, following: kind.shape_of(Lists)([kind.shape(*row) for row in rows], following),
        )

    @operation(
        "Make a {one}",
        answers={201: Written, 200: Written},
        notes={200: "An identical one already existed; nothing changed."},
    )
    def post(self, request: Request, body: NewList) -> Response:
        """422 `{one}_exists` if the user has another {one} with this id. A deleted one is restored."""
        fields = msgspec.structs.asdict(body)
        list_id = fields.pop("id") or uuid4()
        return self.dispatch_and_answer(request, self.commands.create, list_id, creates=True, **fields)


class OneListView(ListView):
    scopes = {"GET": READ, "PATCH": WRITE, "DELETE": WRITE}

    @operation("Show a {one}", answers={200: WithMembers})
    def get(self, request: Request, path: ListPath, query: PageQuery) -> Response:
        """The {one} with a page of its {content}s."""
        kind, user_id, list_id = self.kind, caller_of(request).user_id, self.id_in(request, path)

        def read() -> Page[Any]:
            found = kind.reads.find(user_id, list_id)
            members = kind.reads.members(user_id, list_id, query.cursor, query.limit)
            return Page([(row, members) for row in found.rows], None, min(found.position, members.position))

        page = answers.page(request, kind.many, read)
        if not page.rows:
            raise NotFound
        [(row, members)] = page.rows
        titles = titles_for(user_id, members.rows)
        listed = [kind.show_member(member, titles) for member in members.rows]
        shown = kind.shape_of(WithMembers)(kind.shape(*row), listed, members.next)
        return answers.answer(shown, page.position)

    @operation("Change a {one}", answers={200: Written})
    def patch(self, request: Request, path: ListPath, body: ListChanges) -> Response:
        """What is left out does not change. 422 `{one}_not_found` if there is none."""
        fields = msgspec.structs.asdict(body)
        return self.dispatch_and_answer(request, self.commands.update, self.id_in(request, path), **fields)

    @operation("Delete a {one}", answers={200: Deleted}, once=True)
    def delete(self, request: Request, path: ListPath) -> Response:
        """Repeating it changes nothing. 422 `{one}_not_found` if there never was one."""
        return self.dispatch_and_answer(request, self.commands.delete, self.id_in(request, path))


class MembersView(ListView):
    scopes = {"POST": WRITE}

    @operation(
        "Add to a {one}",
        answers={201: Written, 200: Written},
        notes={200: "It was already in the list; nothing changed."},
    )
    def post(self, request: Request, path: ListPath, body: NewMember) -> Response:
        """No {content} is in a {one} more than once. Of `added_at` and `removed_at`, the later decides."""
        fields = msgspec.structs.asdict(body)
        return self.dispatch_and_answer(
            request, self.commands.add, self.id_in(request, path), creates=True, **fields
        )


class ClearedMembersView(MembersView):
    scopes = {**MembersView.scopes, "DELETE": WRITE}

    @operation("Empty a {one}", answers={200: Written}, once=True)
    def delete(self, request: Request, path: ListPath) -> Response:
        """Removes all {content}s. Repeating it changes nothing."""
        assert self.kind.clear is not None
        return self.dispatch_and_answer(request, self.kind.clear, self.id_in(request, path))


class MemberView(ListView):
    scopes = {"DELETE": WRITE}

    @operation("Remove from a {one}", answers={200: Written}, once=True)
    def delete(self, request: Request, path: MemberPath, query: RemoveQuery) -> Response:
        """`removed_at` is for what was done offline. 422 `{member}_not_in_{one}` if it never was in it."""
        fields = {**msgspec.structs.asdict(query), self.kind.member: getattr(path, self.kind.member)}
        return self.dispatch_and_answer(request, self.commands.remove, self.id_in(request, path), **fields)


class OrderView(ListView):
    scopes = {"PUT": WRITE}

    @operation("Order a {one}", answers={200: Written}, largest=16 * MIB, most_entries=MOST_MEMBERS)
    def put(self, request: Request, path: ListPath, body: Order) -> Response:
        """422 `{member}_not_in_{one}` if one of them never was in it; those that have been removed meanwhile
        are skipped. At most 50,000."""
        fields: dict[str, Any] = {f"{self.kind.member}s": tuple(body.names())}
        return self.dispatch_and_answer(request, self.commands.reorder, self.id_in(request, path), **fields)


def paths(kind: Kind) -> list[URLPattern]:
    """Return the URL patterns of a kind of list."""
    many, member = kind.many, kind.member
    one = f"{many}/<str:{kind.one}_id>"
    return [
        path(many, _view(ListsView, kind)),
        path(f"{one}/{member}s/<path:{member}>", _view(MemberView, kind)),
        path(f"{one}/{member}s", _view(ClearedMembersView if kind.clear else MembersView, kind)),
        path(f"{one}/order", _view(OrderView, kind)),
        path(one, _view(OneListView, kind)),
    ]


def _view(view: type[ListView], kind: Kind) -> Any:
    """Return the view for one kind, with its operations in the words and structs of that kind."""
    scopes = {method: scope.format(many=kind.many) for method, scope in view.scopes.items()}
    handlers = {method.lower(): getattr(view, method.lower()) for method in scopes}
    own = {name: redeclare(one, kind.describe(one.operation)) for name, one in handlers.items()}
    return type(view.__name__, (view,), {"kind": kind, "scopes": scopes, **own}).as_view()  # type: ignore[attr-defined]


def _struct(base: type[Struct], name: str, *fields: tuple[str, Any], doc: str = "") -> type[Struct]:
    return defstruct(name, fields, bases=(base,), namespace={"__doc__": doc})
