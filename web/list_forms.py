"""The forms for playlists and collections."""

import re
from typing import Any, Final
from uuid import UUID, uuid4

from django import forms
from django.utils.translation import gettext_lazy as _

# the same limits as in the API
LONGEST_NAME, LONGEST_DESCRIPTION = 200, 4_000
# the colours offered for a collection; the domain accepts any colour
COLORS: Final = {
    "": _("None"),
    "#b3261e": _("Red"),
    "#b35900": _("Orange"),
    "#8f7000": _("Yellow"),
    "#2e7d32": _("Green"),
    "#00796b": _("Teal"),
    "#1565c0": _("Blue"),
    "#6a3fb5": _("Purple"),
    "#ad1f66": _("Pink"),
}
_COLOR = re.compile(r"#[0-9a-f]{6}")


class PlaylistForm(forms.Form):
    """A playlist's name, description and visibility. ``id`` is generated when the form for a new one is
    shown, so that sending it twice creates only one."""

    id = forms.UUIDField(required=False, initial=uuid4, widget=forms.HiddenInput)
    name = forms.CharField(
        label=_("Name"), max_length=LONGEST_NAME, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    description = forms.CharField(
        label=_("Description"),
        max_length=LONGEST_DESCRIPTION,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    is_public = forms.TypedChoiceField(
        label=_("Who may see it"),
        choices=[
            ("no", _("Only you")),
            ("yes", _("Everybody who has its address; it also stands on your public page")),
        ],
        coerce=lambda text: text == "yes",
        initial="no",
        widget=forms.RadioSelect,
    )

    def command_fields(self) -> dict[str, Any]:
        """Return the fields of a command."""
        return {name: value for name, value in self.cleaned_data.items() if name != "id"}

    @property
    def new_id(self) -> UUID:
        """Return the id of the list that this form creates."""
        return self.cleaned_data["id"] or uuid4()


class CollectionForm(PlaylistForm):
    """A collection's name, description and visibility, and its colour."""

    color = forms.ChoiceField(label=_("Color"), required=False, widget=forms.RadioSelect)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        shown = dict(COLORS)
        own = str(self.initial.get("color") or "")
        if _COLOR.fullmatch(own) and own not in shown:  # a colour chosen in an app
            shown[own] = _("As it is")
        self.fields["color"].choices = list(shown.items())  # type: ignore[attr-defined]


class ChoiceForm(forms.Form):
    """The lists that contain something. ``was``: those that were ticked when the form was shown, so that only
    what was changed in the form is changed. ``name``: the name of a new list, whose id is ``id``."""

    name = forms.CharField(
        required=False, max_length=LONGEST_NAME, widget=forms.TextInput(attrs={"autocomplete": "off"})
    )
    id = forms.UUIDField(required=False, initial=uuid4, widget=forms.HiddenInput)

    def ids(self, name: str) -> set[UUID]:
        """Return the ids among the values of a field, ignoring values that are not ids."""
        texts: list[str] = self.data.getlist(name)  # type: ignore[attr-defined]
        return {UUID(text) for text in texts if _ID.fullmatch(text)}


_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
