"""Dead letters in the Django admin: to look at, and to try again after a fix. Nothing else can be done."""

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from eventstore.admin import ReadOnly
from projections import deadletters
from projections.connect import connect
from projections.models import DeadLetter
from projections.projectors import PROJECTORS
from projections.worker import Worker

if TYPE_CHECKING:
    LetterAdmin = admin.ModelAdmin[DeadLetter]
else:
    LetterAdmin = admin.ModelAdmin

logger = logging.getLogger(__name__)


@admin.register(DeadLetter)
class DeadLetterAdmin(ReadOnly, LetterAdmin):
    list_display = ("projector", "position", "stream", "type", "reason", "attempts", "first_at", "last_at")
    list_filter = ("projector", "type")
    ordering = ("projector", "position")
    actions = ("retry",)

    @admin.display(description="error")
    def reason(self, letter: DeadLetter) -> str:
        return letter.error or "waits behind an earlier event of its stream"

    def has_retry_permission(self, request: HttpRequest) -> bool:
        """Whoever may "change" dead letters: this is the one change that there is."""
        return request.user.has_perm("projections.change_deadletter")

    @admin.action(description="Try again, each stream in its order", permissions=["retry"])
    def retry(self, request: HttpRequest, chosen: QuerySet[DeadLetter]) -> None:
        """A letter brings its whole stream along: it cannot be applied before those that it waits behind."""
        streams = defaultdict(set)
        for projector, stream in chosen.values_list("projector", "stream"):
            streams[projector].add(stream)
        with connect("projections") as connection:
            for name in sorted(streams):
                if name not in PROJECTORS:
                    self.message_user(request, f"There is no projector {name} any more.", messages.WARNING)
                    continue
                applied, left = deadletters.retry(Worker(PROJECTORS[name], connection), streams[name])
                fields = {"projector": name, "applied": applied, "left": left}
                logger.info("dead letters tried again", extra={"fields": fields})
                level = messages.WARNING if left else messages.SUCCESS
                self.message_user(request, f"{applied} applied by {name}, {left} left.", level)
