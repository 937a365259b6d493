"""What a listener follows as an OPML document, and imports of other programs' lists of feeds."""

from typing import Annotated, ClassVar, Literal

from django.conf import settings
from django.urls import path
from msgspec import Struct
from rest_framework.exceptions import ParseError
from rest_framework.request import Request
from rest_framework.response import Response

from api import answers
from api.answers import Success
from api.auth import caller_of
from api.clock import now
from api.errors import ApiError
from api.fields import meta
from api.operations import MIB, RawBody, operation
from api.parameters import POSITION
from api.views import View
from eventstore import dispatcher, log, retention
from eventstore.dispatcher import Outcome
from feeds import libraries
from feeds.opml import MEDIA_TYPE, BadRow, FeedList, OpmlRefused, read_opml

LARGEST = 5 * MIB


class OpmlDocument(RawBody):
    media_types: ClassVar = (MEDIA_TYPE,)


class OpmlBody(RawBody):
    media_types: ClassVar = (MEDIA_TYPE, "application/xml", "text/xml")


class OpmlQuery(Struct):
    include: (
        Annotated[
            Literal["secret"],
            meta("`secret`: include feeds whose URL gives access to anyone who has the file."),
        ]
        | None
    ) = None


class OpmlImportQuery(Struct):
    folders: Annotated[Literal["ignore"], meta("`ignore`: do not make collections from folders.")] | None = (
        None
    )


class OpmlImported(Struct):
    """`imported`: how many feeds were not followed before and are now; `already`: how many were followed
    already. `folders`: how many collections were made from folders or extended by them. `bad`: the rows that
    could not be followed."""

    status: Success
    imported: int
    already: int
    folders: int
    bad: list[BadRow]


class OpmlView(View):
    scopes = {"GET": "user.subscriptions.read", "POST": "user.subscriptions.write"}

    @operation("Export subscriptions as OPML", answers={200: OpmlDocument})
    def get(self, request: Request, query: OpmlQuery) -> Response:
        """An OPML 2.0 document of what the user follows. Collections are folders: a feed in two of them is
        listed twice."""
        answers.account_position(request)  # raises for an invalid position; the aggregate has all writes
        stream = dispatcher.state_of(caller_of(request).user_id)
        document = libraries.export_of(stream.read_whole(), with_secrets=query.include is not None)
        headers = {
            POSITION: str(stream.position),
            "Content-Disposition": 'attachment; filename="balados-subscriptions.opml"',
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }
        return Response(document, content_type=f"{MEDIA_TYPE}; charset=utf-8", headers=headers)

    @operation("Import subscriptions from OPML", answers={200: OpmlImported}, largest=LARGEST)
    def post(self, request: Request, query: OpmlImportQuery, body: OpmlBody) -> Response:
        """Follows every feed in the document, all or none; folders become collections, or are merged into
        those with the same name. Bad rows do not affect the rest of the document. Importing it again records
        nothing. At most 5 MiB, 10,000 outlines and 100 levels of them."""
        listed = _read(body)
        user = dispatcher.state_of(caller_of(request).user_id).read_whole()
        found = libraries.import_of(listed, user, now(), with_folders=query.folders is None)
        report = OpmlImported("success", found.new, found.known, found.folders, listed.bad)
        recorded = 0

        def render(outcome: Outcome) -> Struct:
            nonlocal recorded
            recorded = len(outcome.events)
            return report

        answer = answers.dispatch_and_answer(request, found.command, render)
        if recorded:
            retention.note_growth(log.stream_of(user.user_id), settings.CHECKPOINT_EVERY)
        return answer


def _read(body: OpmlBody) -> FeedList:
    """Return the feeds of a document. Raises ``ParseError``, and ``ApiError`` (413) with the limit that it
    exceeds."""
    try:
        return read_opml(body.raw, body.content_type)
    except OpmlRefused as refusal:
        if refusal.is_too_large:
            raise ApiError(413, refusal.code, str(refusal)) from None
        raise ParseError(str(refusal), refusal.code) from None


paths = [path("subscriptions.opml", OpmlView.as_view())]
