"""What the player tells of what is heard: the same commands as an app's, several at once after an outage."""

import hashlib
import json
from contextlib import suppress
from datetime import datetime
from typing import Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from accounts.models import User
from eventstore import elsewhere
from eventstore.dispatcher import CommandId, CommandIdReused, Origin, Outcome
from eventstore.domain.identifiers import InvalidIdentifier, normalise_feed, normalise_item
from eventstore.domain.plays import PlayCommand, RecordPlay, UpdatePosition
from eventstore.domain.times import in_utc
from web import words
from web.acting import device_name, for_listeners, send
from web.found import LONGEST_POSITION
from web.player import APART
from web.reading import remember_position

MOST: Final = 100
LONGEST_NAME: Final = 8_000
SLOWEST, FASTEST = 0.1, 10.0


class PlayForm(forms.Form):
    """A place in an episode, and when it was reached: ``at`` with its offset from UTC.

    ``id`` is the player's own, so that what is sent twice counts once. ``played`` is left out where only the
    place changes.
    """

    id = forms.UUIDField()
    feed = forms.CharField(max_length=LONGEST_NAME)
    item = forms.CharField(max_length=LONGEST_NAME)
    position = forms.IntegerField(min_value=0, max_value=LONGEST_POSITION)
    speed = forms.FloatField(min_value=SLOWEST, max_value=FASTEST, required=False)
    played = forms.TypedChoiceField(
        choices=[("True", ""), ("False", "")],
        coerce=lambda text: text == "True",
        empty_value=None,
        required=False,
    )
    at = forms.CharField(max_length=40)

    def clean_feed(self) -> str:
        return self._normalised(normalise_feed, "feed")

    def clean_item(self) -> str:
        return self._normalised(normalise_item, "item")

    def clean_at(self) -> datetime:
        with suppress(ValueError):
            at = datetime.fromisoformat(self.cleaned_data["at"])
            if at.tzinfo is not None:
                return in_utc(at)
        raise ValidationError(_("Expected a time with its offset from UTC."), code="invalid")

    def _normalised(self, normalise: Any, name: str) -> str:
        try:
            return str(normalise(self.cleaned_data[name]))
        except InvalidIdentifier as error:
            raise ValidationError(_("This names nothing that could be heard."), code=error.code) from None

    def command(self, user: User) -> PlayCommand:
        """What to record. The form is valid."""
        told = self.cleaned_data
        common = {"user_id": user.pk, "now": timezone.now(), "at": told["at"]}
        place = {name: told[name] for name in ("feed", "item", "position", "speed")}
        if told["played"] is None:
            return UpdatePosition(**common, **place)
        return RecordPlay(**common, **place, played=told["played"])

    @property
    def command_id(self) -> CommandId:
        told = json.dumps(self.data, sort_keys=True, default=str)
        return CommandId(self.cleaned_data["id"], hashlib.sha256(told.encode()).digest())


@require_POST
@for_listeners
def plays(request: HttpRequest, user: User) -> HttpResponse:
    """Record what ``plays`` holds, a JSON array; 400 with every fault by its place in there, and then nothing
    of it is recorded."""
    told = _array(request.POST.get("plays", ""))
    if told is None:
        fault = _("Expected a JSON array of 1 to %(most)d objects.") % {"most": MOST}
        return JsonResponse({"errors": {"plays": [{"message": fault, "code": "invalid"}]}}, status=400)
    sent = [PlayForm(each) for each in told]
    faults = {number: form.errors.get_json_data() for number, form in enumerate(sent) if not form.is_valid()}
    if faults:
        return JsonResponse({"errors": faults}, status=400)
    commands = [form.command(user) for form in sent]
    try:
        outcomes = [
            send(request, command, form.command_id) for command, form in zip(commands, sent, strict=True)
        ]
    except CommandIdReused:
        fault = _("An id stands for something else already.")
        return JsonResponse({"errors": {"id": [{"message": fault, "code": "id_reused"}]}}, status=409)
    response = _answer(request, commands[-1], outcomes[-1])
    remember_position(response, max(outcome.position for outcome in outcomes))
    return response


def _answer(request: HttpRequest, command: PlayCommand, outcome: Outcome) -> HttpResponse:
    """204; or 200 and what to ask the listener, where another device has told another place since."""
    here = Origin(device_name=device_name(request))
    found = elsewhere.newer(outcome.user, outcome.version, command, here)
    position = command.position or 0
    if found is None or found.played or abs(found.position - position) < APART:
        return HttpResponse(status=204)
    device = words.device(found.device) if found.device else _("another device")
    there = words.clock(found.position)
    told = {
        "feed": command.feed,
        "item": command.item,
        "further": found.position,
        "question": _("On %(device)s you are at %(time)s by now.") % {"device": device, "time": there},
        "there": _("Go on at %(time)s") % {"time": there},
        "here": _("Stay at %(time)s") % {"time": words.clock(position)},
    }
    return JsonResponse({"newer": told})


def _array(text: str) -> list[dict[str, Any]] | None:
    """None for what is no array of objects, or of too many."""
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(told, list) or not 0 < len(told) <= MOST:
        return None
    return told if all(isinstance(each, dict) for each in told) else None
