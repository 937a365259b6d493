"""The form for importing from another sync server."""

from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from eventstore.domain.identifiers import InvalidIdentifier
from feeds.imports.client import server_of
from web.forms import FAULTS, LONGEST_ADDRESS

PLAIN: Final = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
PORTS: Final = {"http": 80, "https": 443}
# what FAULTS says of feeds, of a server
OF_SERVERS: Final = {
    **FAULTS,
    "scheme": _("This is not the address of a server, such as gpodder.net or https://cloud.example.org."),
}


class ServerForm(forms.Form):
    """An account on another server. ``number`` identifies the form, so that sending it
    twice has an effect only once."""

    server = forms.CharField(
        label=_("Address of the server"),
        max_length=LONGEST_ADDRESS,
        help_text=_("As it stands in your app: gpodder.net, or the address of your Nextcloud or oPodSync."),
        widget=forms.TextInput(attrs={**PLAIN, "inputmode": "url"}),
    )
    name = forms.CharField(
        label=_("User name there"), max_length=255, widget=forms.TextInput(attrs=dict(PLAIN))
    )
    password = forms.CharField(
        label=_("Password there"),
        max_length=1_024,
        strip=False,
        help_text=_(
            "An app password of your Nextcloud will do as well. It is kept encrypted until the import has"
            " ended, six hours at most, and is then forgotten."
        ),
        # for an account on another server: the password that the browser has stored is for this one
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )
    number = forms.UUIDField(widget=forms.HiddenInput, initial=uuid4)

    def clean_server(self) -> str:
        text: str = self.cleaned_data["server"]
        try:
            server = server_of(text)
        except InvalidIdentifier as error:
            raise ValidationError(OF_SERVERS[error.code], code=error.code) from None
        if _place(server) == _place(settings.PUBLIC_URL):
            raise ValidationError(_("This is the address of this server itself."), code="own")
        return server

    def clean_name(self) -> str:
        name: str = self.cleaned_data["name"]
        if ":" in name:
            raise ValidationError(_("No user name has a colon in it."), code="colon")
        return name

    def clean_password(self) -> Any:
        password: str = self.cleaned_data["password"]
        try:
            password.encode()
        except UnicodeEncodeError:
            raise ValidationError(
                _("There are characters in it that no password has."), code="characters"
            ) from None
        return password


def _place(url: str) -> tuple[str | None, int | None]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or PORTS.get(parts.scheme)
