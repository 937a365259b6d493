"""What people type to come in. The fields are named by hand: nothing else of a request reaches a user."""

from typing import TYPE_CHECKING, Any, TypeAlias

from django import forms
from django.contrib.auth.forms import AuthenticationForm, SetPasswordMixin
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.usernames import LONGEST, SHORTEST, validate_username

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

# longer ones would only cost time to hash
LONGEST_PASSWORD = 1000
LONGEST_EMAIL = 254
Text: TypeAlias = "str | _StrPromise"  # known to the type stubs alone


# a text that no browser should correct or capitalise
EXACTLY = {"autocapitalize": "none", "spellcheck": "false"}


def _password(label: Text, autocomplete: str, help_text: Text = "") -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(
        label=label, strip=False, max_length=LONGEST_PASSWORD, widget=widget, help_text=help_text
    )


class NewAccountForm(SetPasswordMixin, forms.Form):  # type: ignore[type-arg]
    """A user name and a password twice; the e-mail address is optional."""

    error_messages = {"password_mismatch": _("The two passwords differ.")}
    username = forms.CharField(
        label=_("User name"),
        max_length=LONGEST,
        help_text=format_lazy(
            _("{shortest} to {longest} letters, digits and . _ -"), shortest=SHORTEST, longest=LONGEST
        ),
        widget=forms.TextInput(attrs={"autocomplete": "username", **EXACTLY}),
    )
    email = forms.EmailField(
        label=_("E-mail address (optional)"),
        required=False,
        max_length=LONGEST_EMAIL,
        help_text=_("Kept on this server, shown to nobody."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    password1 = _password(_("Password"), "new-password", _("At least 10 characters, and not an easy guess."))
    password2 = _password(_("The password again"), "new-password")

    def clean_username(self) -> str:
        name: str = self.cleaned_data["username"]
        validate_username(name)
        User.objects.check_free(name)
        return name

    def clean(self) -> dict[str, Any] | None:
        self.validate_passwords()
        typed = {name: self.cleaned_data.get(name, "") for name in ("username", "email")}
        self.validate_password_for_user(User(**typed), "password1")
        return super().clean()


class SetupForm(NewAccountForm):
    """A new account that proves to be the owner's."""

    token = forms.CharField(
        label=_("Set-up token"),
        max_length=200,
        help_text=_("The server printed it when it started, as part of the link to this page."),
        widget=forms.TextInput(attrs={"autocomplete": "off", **EXACTLY}),
    )
    field_order = ("token", "username", "email", "password1", "password2")


class LogInForm(AuthenticationForm):
    """One answer for a wrong name, a wrong password and a closed account."""

    error_messages = {
        "invalid_login": _("This user name and password do not belong together."),
        "inactive": _("This user name and password do not belong together."),
    }
    username = forms.CharField(
        label=_("User name"),
        widget=forms.TextInput(attrs={"autocomplete": "username", **EXACTLY}),
    )
    password = _password(_("Password"), "current-password")


class EraseForm(forms.Form):
    """Whoever sits at an open page is not yet its owner: the password says so."""

    password = _password(_("Your password"), "current-password")
    sure = forms.BooleanField(label=_("Erase everything. I know that nobody can bring it back."))
