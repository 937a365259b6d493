"""Dead letters in the Django admin: look at them, retry them after a fix, or leave them out."""

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from eventstore.admin import MOST_CHOSEN, Bounded, ReadOnly, ask, moment
from projections import deadletters, public
from projections.connect import connect
from projections.models import DeadLetter
from projections.projectors import PROJECTORS
from projections.worker import Worker

if TYPE_CHECKING:
    LetterAdmin = admin.ModelAdmin[DeadLetter]
else:
    LetterAdmin = admin.ModelAdmin

LEFT_OUT = (
    "The read model continues without these events, and differs from the log until it is rebuilt"
    " (manage.py rebuild_projections). Events that only wait behind others are kept."
)
logger = logging.getLogger(__name__)


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly, Bounded, LetterAdmin):
    about = (
        "Events that a read model could not apply, and later ones of the same listener that wait behind them."
        " Try them again after an update that fixes the cause; everything else continues meanwhile."
    )
    list_display = ("projector", "position", "stream", "type", "reason", "attempts", "at", "last")
    list_filter = ("projector",)
    ordering = ("projector", "position")
    actions = ("retry", "leave_out")

    @admin.display(description="first tried")
    def at(self, letter: DeadLetter) -> str:
        return moment(letter.first_at)

    @admin.display(description="last tried")
    def last(self, letter: DeadLetter) -> str:
        return moment(letter.last_at)

    @admin.display(description="error")
    def reason(self, letter: DeadLetter) -> str:
        return letter.error or "waits behind an earlier event of its stream"

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whether the user may "change" dead letters: to retry and to leave out are the only changes."""
        return request.user.has_perm("projections.change_deadletter")

    @admin.action(description="Try again, each stream in its order", permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        """Retry the whole stream of each letter, because a letter cannot be applied before those that it
        waits behind."""
        streams = defaultdict(set)
        for projector, stream in chosen.values_list("projector", "stream"):
            streams[projector].add(stream)
        with connect("projections") as connection:
            for name in sorted(streams):
                if name not in PROJECTORS:
                    self.message_user(request, f"There is no projector {name} any more.", messages.WARNING)
                    continue
                applied, left = deadletters.retry(Worker(PROJECTORS[name], connection), streams[name])
                self._tell(request, "tried again", name, applied, left)

    @admin.action(description="Leave out, and apply the events that wait behind", permissions=["retry"])
    def leave_out(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> HttpResponse | None:
        """Leave out the failed letters only: those that merely wait behind one need not be left out."""
        failed = chosen.exclude(error="")
        if question := ask(self, request, failed, title="Leave out", text=LEFT_OUT, button="Leave out"):
            return question
        with connect("projections") as connection:
            for letter in failed[:MOST_CHOSEN]:
                if letter.projector not in PROJECTORS or hides(letter):
                    message = f"{letter} stays: until it is applied, nobody knows what it hides."
                    self.message_user(request, message, messages.ERROR)
                    continue
                worker = Worker(PROJECTORS[letter.projector], connection)
                deadletters.leave_out(worker, letter.stream)
                applied, left = deadletters.retry(worker, {letter.stream})
                self.log_change(request, letter, f"Left out: {letter}")
                self._tell(request, "left out", letter.projector, applied, left)
        return None

    def _tell(self, request: HttpRequest, what: str, name: str, applied: int, left: int) -> None:
        fields = {"projector": name, "applied": applied, "left": left}
        logger.info("dead letters %s", what, extra={"fields": fields})
        level = messages.WARNING if left else messages.SUCCESS
        self.message_user(request, f"{applied} applied by {name}, {left} left.", level)


def hides(letter: DeadLetter) -> bool:
    """Whether leaving out ``letter`` could keep something public that its listener may want to hide."""
    return letter.projector == public.PROJECTOR and letter.type not in public.HARMLESS
