"""The forms that listeners fill in on the pages."""

import re
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, ClassVar, Final
from urllib.parse import urlencode
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from eventstore.domain.identifiers import InvalidIdentifier, feed_of_url, normalise_feed
from eventstore.domain.messages import Origin
from eventstore.domain.times import in_utc
from eventstore.undo import Chosen
from web import event_texts
from web.humanize import local
from web.labels import categories, languages
from web.origins import LONGEST_CHOICE, origin_of_choice

LONGEST_ADDRESS = 2_048
# characters in base64
LONGEST_FEED = 2_736
Choices = list[tuple[str, str]]
_SCHEME = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:(?!\d+(?:/|$))")
# matches feeds.example.org, example.org:8080/feed, localhost:8080
_HOST = re.compile(r"(?:[^\s/?#@:]+\.[^\s/?#@:.]{2,}(?::\d+)?|[\w.-]+:\d+)(?:[/?#]|$)")
# what is wrong with an address, by the codes of ``InvalidIdentifier``
FAULTS: Final = {
    "scheme": _("This is no web address: those of feeds begin with http:// or https://."),
    "invalid_host": _("This address names no server that there could be."),
    "credentials": _("An address with a user name or a password in it cannot be kept safe here."),
    "control_characters": _("There are characters in this address that no address has."),
    "too_long": _("This address is longer than a feed's may be."),
}


# the time spans for which everything that a device did can be undone
SPANS: Final = {
    "hour": (timedelta(hours=1), _("the last hour")),
    "hours": (timedelta(hours=6), _("the last 6 hours")),
    "day": (timedelta(days=1), _("the last 24 hours")),
    "week": (timedelta(days=7), _("the last 7 days")),
}
UNUSABLE: Final = _("This is no address of a feed.")
CUT_OFF: Final = _("The file ends here, in the middle: podcasts that came after this line are missing.")
OPML_FAULTS: Final = {
    "not_opml": _("There is no list of podcasts in this file: OPML is what other programs export."),
    "entities": _("This file declares entities, which no list of podcasts needs."),
    "too_many_outlines": _("There are more than 10,000 podcasts in this file."),
    "too_many_levels": _("There are too many folders within each other in this file."),
}
# the first parts of the names of time zones; names with other first parts are older aliases
CONTINENTS: Final = {
    "Africa": _("Africa"),
    "America": _("America"),
    "Antarctica": _("Antarctica"),
    "Arctic": _("Arctic"),
    "Asia": _("Asia"),
    "Atlantic": _("Atlantic Ocean"),
    "Australia": _("Australia"),
    "Europe": _("Europe"),
    "Indian": _("Indian Ocean"),
    "Pacific": _("Pacific Ocean"),
}
LARGEST_FILE: Final = 5 * 1024 * 1024
EXPORT_FAULTS: Final = {
    "invalid": _("There is no export of Balados in this file, or it was changed."),
    "unreadable": _("This file cannot be read: it is no JSON, or far larger than an export."),
}
LARGEST_EXPORT: Final = 127 * 1024 * 1024


def time_zones() -> list[tuple[Any, Any]]:
    """Return the choices: the browser's time zone, then those of the IANA database, by continent."""
    places = sorted(name for name in available_timezones() if name.partition("/")[0] in CONTINENTS)
    by_continent = groupby(places, lambda name: name.partition("/")[0])
    listed = [
        (CONTINENTS[continent], [(name, name.partition("/")[2].replace("_", " ")) for name in names])
        for continent, names in by_continent
    ]
    return [("", _("As my browser says")), ("UTC", "UTC"), *listed]


class ListFileForm(forms.Form):
    """A list of podcasts from another program."""

    file = forms.FileField(
        label=_("File with a list of podcasts (OPML)"),
        help_text=_("Nearly every podcast app exports one. Folders become collections."),
        widget=forms.FileInput(attrs={"accept": ".opml,.xml,text/x-opml,application/xml,text/xml"}),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_FILE:
            raise ValidationError(_("A list may have 5 MB at most."), code="too_large")
        return file


class ExportFileForm(forms.Form):
    """An export of an account on this or another instance."""

    file = forms.FileField(
        label=_("Export of Balados (JSON)"),
        help_text=_(
            "Of this server or another. What it holds is added to what is here; the later change counts."
        ),
        widget=forms.FileInput(attrs={"accept": ".json,application/json"}),
    )

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > LARGEST_EXPORT:
            raise ValidationError(_("An export may have 128 MB at most."), code="too_large")
        return file


class AddForm(forms.Form):
    """The address of a feed or of a podcast's website, or words. ``feed`` is the address normalised as a
    feed name, or None for words."""

    q = forms.CharField(
        label=_("Address or words"),
        max_length=LONGEST_ADDRESS,
        help_text=_("The address of the podcast’s website or of its feed (RSS), or words of its title."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "type": "search"}
        ),
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        text = cleaned.get("q", "")
        cleaned["feed"] = None
        if is_address(text):
            whole = text if _SCHEME.match(text) else f"https://{text}"
            try:
                cleaned["feed"] = feed_of_url(whole)
            except InvalidIdentifier as error:
                self.add_error("q", ValidationError(FAULTS[error.code], code=error.code))
        return cleaned


def search_field(label: Any) -> forms.CharField:
    """Return a field for words with which a list is searched."""
    widget = forms.TextInput(attrs={"type": "search", "autocomplete": "off"})
    return forms.CharField(label=label, max_length=200, required=False, widget=widget)


def is_address(text: str) -> bool:
    """Whether the text is meant as an address rather than as words."""
    if "://" in text:
        return True
    return not re.search(r"\s", text) and bool(_SCHEME.match(text) or _HOST.match(text))


class AddressedForm(forms.Form):
    """A form whose values select what a list shows, and are part of its address.

    Values equal to ``defaults`` are left out of the address; ``goes_on`` names the field with
    the cursor of the next page.
    """

    defaults: ClassVar[dict[str, Any]]
    goes_on: ClassVar[str] = "after"

    def address(self, path: str, **changes: str) -> str:
        """Return the address of the first page of this list, with some values changed."""
        cleaned = getattr(self, "cleaned_data", {})
        values = {**{name: cleaned.get(name, "") for name in self.fields}, self.goes_on: "", **changes}
        parameters = {
            name: "on" if value is True else value
            for name, value in values.items()
            if value and value != self.defaults[name]
        }
        return f"{path}?{urlencode(parameters)}" if parameters else path


class ListForm(AddressedForm):
    """How the list of subscriptions is searched and ordered, and the cursor of its page."""

    q = search_field(_("Search in what you follow"))
    sort = forms.ChoiceField(
        label=_("Order"),
        required=False,
        choices=[
            ("newest", _("Newest episode first")),
            ("title", _("By title")),
            ("added", _("Followed last first")),
        ],
    )
    collection = forms.UUIDField(required=False, widget=forms.HiddenInput)
    after = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    defaults = {"q": "", "sort": "newest", "collection": None, "after": ""}

    def clean_sort(self) -> str:
        return self.cleaned_data["sort"] or "newest"


class EpisodesForm(AddressedForm):
    """Which episodes of a podcast are listed and in which order, and the cursor of the page."""

    q = search_field(_("Search in the episodes"))
    order = forms.ChoiceField(
        label=_("Order"),
        required=False,
        choices=[("newest", _("Newest first")), ("oldest", _("Oldest first"))],
    )
    unplayed = forms.BooleanField(label=_("Not played"), required=False)
    after = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    defaults = {"q": "", "order": "newest", "unplayed": False, "after": ""}

    def clean_order(self) -> str:
        return self.cleaned_data["order"] or "newest"


class HistoryForm(AddressedForm):
    """Which events are listed, and the cursor of the page.

    ``device`` is a choice of ``web.origins``; ``feed`` is a podcast.
    """

    kind = forms.ChoiceField(
        label=_("Kind"), required=False, choices=[("", _("Everything")), *event_texts.TOPICS.items()]
    )
    device = forms.CharField(
        label=_("Device"), required=False, max_length=LONGEST_CHOICE, widget=forms.Select
    )
    feed = forms.CharField(label=_("Podcast"), required=False, max_length=LONGEST_FEED, widget=forms.Select)
    before = forms.CharField(required=False, max_length=40, widget=forms.HiddenInput)
    goes_on = "before"
    defaults = {"kind": "", "device": "", "feed": "", "before": ""}

    def clean_device(self) -> str:
        device: str = self.cleaned_data["device"]
        if device and origin_of_choice(device) == Origin():
            raise ValidationError(UNUSABLE)
        return device

    def clean_feed(self) -> str:
        feed: str = self.cleaned_data["feed"]
        try:
            return normalise_feed(feed) if feed else ""
        except InvalidIdentifier:
            raise ValidationError(UNUSABLE) from None

    def offer(self, devices: Choices, feeds: Choices) -> None:
        """Set the choices, as pairs of value and label."""
        for name, every, offered in (
            ("device", _("All devices"), devices),
            ("feed", _("All podcasts"), feeds),
        ):
            widget: Any = self.fields[name].widget
            widget.choices = [("", every), *offered]


class UndoForm(forms.Form):
    """Selects what a device did since some time. ``device`` is as in ``HistoryForm``; ``since`` is a time
    span or a moment; ``at`` is a moment in the time zone of the page, and takes precedence over ``since``."""

    device = forms.CharField(label=_("Device"), max_length=LONGEST_CHOICE, widget=forms.Select)
    since = forms.CharField(label=_("Since"), max_length=40, required=False, widget=forms.Select)
    at = forms.DateTimeField(
        label=_("Or since any other time"),
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}, "%Y-%m-%dT%H:%M"),
    )

    def __init__(self, *args: Any, now: datetime, **named: Any) -> None:
        super().__init__(*args, **named)
        self.now = now

    def offer(self, devices: Choices) -> None:
        """Set the choices of devices, as pairs of value and label."""
        chosen = self.data.get("since") or self.initial.get("since", "")
        spans: Choices = [(value, str(label)) for value, (_span, label) in SPANS.items()]
        if chosen and chosen not in SPANS and (moment := _moment(chosen)):
            spans.insert(0, (chosen, date_format(local(moment), "DATETIME_FORMAT")))
        device: Any = self.fields["device"].widget
        device.choices = devices
        since: Any = self.fields["since"].widget
        since.choices = spans

    def clean_device(self) -> str:
        device: str = self.cleaned_data["device"]
        if origin_of_choice(device) == Origin():
            raise ValidationError(_("Choose a device."))
        return device

    def clean_since(self) -> datetime | None:
        since: str = self.cleaned_data["since"]
        moment = self.now - SPANS[since][0] if since in SPANS else _moment(since)
        if moment is None and not self.data.get("at"):
            raise ValidationError(_("Choose a time."))
        return moment

    def clean_at(self) -> datetime | None:
        at: datetime | None = self.cleaned_data["at"]
        try:
            return in_utc(at) if at is not None else None
        except ValueError:
            raise ValidationError(_("Choose a time.")) from None

    def chosen(self) -> Chosen:
        """Return which events are selected."""
        sender = origin_of_choice(self.cleaned_data["device"])
        return Chosen(
            since=self.cleaned_data["at"] or self.cleaned_data["since"],
            device_id=sender.device_id,
            device_name=sender.device_name,
            app_id=sender.app_id,
        )


def _moment(text: str) -> datetime | None:
    """Parse a moment with its time zone, as pages write it into addresses; None for any other text."""
    try:
        moment = datetime.fromisoformat(text)
        return in_utc(moment) if moment.tzinfo else None
    except ValueError:
        return None


class TrendingForm(AddressedForm):
    """Which popular podcasts are listed: their category, language and period."""

    category = forms.ChoiceField(
        label=_("Category"), required=False, choices=lambda: [("", _("All categories")), *categories()]
    )
    language = forms.ChoiceField(
        label=_("Language"), required=False, choices=lambda: [("", _("All languages")), *languages()]
    )
    period = forms.ChoiceField(
        label=_("Period"), required=False, choices=[("", _("Last 45 days")), ("week", _("Last 7 days"))]
    )
    defaults = {"category": "", "language": "", "period": ""}


class SearchForm(AddressedForm):
    """What is searched for, in which kind of results, and the cursor of the page."""

    q = search_field(_("Search"))
    kind = forms.ChoiceField(
        label=_("Among"),
        required=False,
        choices=[
            ("", _("Everything")),
            ("podcasts", _("Podcasts")),
            ("episodes", _("Episodes")),
            ("playlists", pgettext_lazy("navigation", "Playlists")),
            ("people", _("People")),
        ],
    )
    after = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    defaults = {"q": "", "kind": "", "after": ""}

    def tabs(self) -> list[tuple[str, str, bool]]:
        """Return each kind of results: its name, the address of its page, and
        whether it is the current one."""
        shown = self.cleaned_data["kind"]
        choices = self.fields["kind"].choices  # type: ignore[attr-defined]
        return [(name, self.address("/search", kind=kind), kind == shown) for kind, name in choices]


class TimelineForm(AddressedForm):
    """Which public acts are listed, and the cursor of the page."""

    kind = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[
            ("", _("Everything")),
            ("subscribe", _("Podcasts followed")),
            ("play", _("Listening")),
            ("save", _("Saved")),
            ("share", _("Shared")),
        ],
    )
    after = forms.CharField(required=False, max_length=200, widget=forms.HiddenInput)
    defaults = {"kind": "", "after": ""}


class PreferencesForm(forms.Form):
    """The language and time zone of the pages, or those of the browser; and whether subscriptions
    follow a podcast that moves."""

    language = forms.ChoiceField(
        label=_("Language"),
        required=False,
        choices=[("", _("As my browser asks")), *settings.LANGUAGES],
    )
    time_zone = forms.ChoiceField(
        label=_("Time zone"),
        required=False,
        choices=time_zones,
        help_text=_("Dates and times on the pages are those of this place."),
    )
    follow_moves = forms.BooleanField(
        label=_("Go along when a podcast moves to another address"), required=False
    )


class OverridesForm(AddressedForm):
    """For which podcasts and episodes the privacy levels are listed, and the cursor of the page."""

    q = search_field(_("Search by title"))
    show = forms.ChoiceField(
        label=_("Show"),
        required=False,
        choices=[("", _("With a level of their own")), ("followed", _("All podcasts that you follow"))],
    )
    after = forms.CharField(required=False, max_length=64, widget=forms.HiddenInput)
    defaults = {"q": "", "show": "", "after": ""}
