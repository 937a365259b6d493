"""Forms for accounts. Their fields are declared by hand: nothing else in a request reaches a user."""

from typing import TYPE_CHECKING, Any, TypeAlias

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, SetPasswordMixin
from django.core.exceptions import ValidationError
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from accounts.usernames import LONGEST, SHORTEST, validate_username

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

# hashing longer ones would only cost time
LONGEST_PASSWORD = 1000
LONGEST_EMAIL = 254
Text: TypeAlias = "str | _StrPromise"  # _StrPromise exists only in the type stubs


PASSWORD_RULES: Text = _("At least 10 characters, and not an easy guess.")
# for text that no browser should correct or capitalise
EXACTLY = {"autocapitalize": "none", "spellcheck": "false"}


def _password(label: Text, autocomplete: str, help_text: Text = "") -> forms.CharField:
    widget = forms.PasswordInput(attrs={"autocomplete": autocomplete})
    return forms.CharField(
        label=label, strip=False, max_length=LONGEST_PASSWORD, widget=widget, help_text=help_text
    )


class NewAccountForm(SetPasswordMixin, forms.Form):  # type: ignore[type-arg]
    """A new account: a user name, the password twice, and optionally an e-mail address."""

    error_messages = {"password_mismatch": _("The two passwords differ.")}
    username = forms.CharField(
        label=_("User name"),
        max_length=LONGEST,
        help_text=format_lazy(
            _(
                "{shortest} to {longest} letters and digits, with . _ or - between them. Podcast apps accept"
                " no other signs, so an e-mail address does not work."
            ),
            shortest=SHORTEST,
            longest=LONGEST,
        ),
        widget=forms.TextInput(attrs={"autocomplete": "username", **EXACTLY}),
    )
    email = forms.EmailField(
        label=_("E-mail address (optional)"),
        required=False,
        max_length=LONGEST_EMAIL,
        help_text=_("For a forgotten password, and for nothing else. Shown to nobody."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    password1 = _password(_("Password"), "new-password", PASSWORD_RULES)
    password2 = _password(_("The password again"), "new-password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.SENDS_MAIL:  # an address would be of no use then
            del self.fields["email"]

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
    """A new account with the set-up token, which proves that it is the owner's."""

    token = forms.CharField(
        label=_("Set-up token"),
        max_length=200,
        help_text=_("The server printed it when it started, as part of the link to this page."),
        widget=forms.TextInput(attrs={"autocomplete": "off", **EXACTLY}),
    )
    field_order = ("token", "username", "email", "password1", "password2")


class LogInForm(AuthenticationForm):
    """A log-in; a wrong name, a wrong password and a closed account all have the same error."""

    error_messages = {
        "invalid_login": _("This user name and password do not belong together."),
        "inactive": _("This user name and password do not belong together."),
    }
    username = forms.CharField(
        label=_("User name"),
        widget=forms.TextInput(attrs={"autocomplete": "username", **EXACTLY}),
    )
    password = _password(_("Password"), "current-password")


class UserForm(forms.Form):
    """A form about one user."""

    def __init__(self, user: User, *args: Any, **kwargs: Any) -> None:
        self.user = user
        super().__init__(*args, **kwargs)


class OwnerForm(UserForm):
    """Asks for the password, because whoever sits at an open page is not necessarily its owner."""

    password = _password(_("Your password"), "current-password")

    def clean_password(self) -> str:
        password: str = self.cleaned_data["password"]
        if not self.user.check_password(password):
            raise ValidationError(_("This is not your password."), code="password")
        return password


class EraseForm(OwnerForm):
    """Asks for the password, and for confirmation that everything is to be erased."""

    sure = forms.BooleanField(label=_("Erase everything. I know that nobody can bring it back."))


class EmailForm(OwnerForm):
    """A new e-mail address, with the password."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=LONGEST_EMAIL,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )
    field_order = ("email", "password")


class NewPasswordForm(SetPasswordMixin, UserForm):  # type: ignore[type-arg]
    """A new password, typed twice, for a user whom a link has proved to be the owner."""

    error_messages = {"password_mismatch": _("The two passwords differ.")}
    password1 = _password(_("New password"), "new-password", PASSWORD_RULES)
    password2 = _password(_("The new password again"), "new-password")

    def clean(self) -> dict[str, Any] | None:
        self.validate_passwords()
        self.validate_password_for_user(self.user, "password1")
        return super().clean()

    def save(self) -> User:
        """Set the password; every session of the user ends with the old one."""
        self.user.set_password(self.cleaned_data["password1"])
        self.user.save(update_fields=["password"])
        return self.user


class ChangePasswordForm(NewPasswordForm, OwnerForm):
    """A new password for a user who knows the old one."""

    field_order = ("password", "password1", "password2")


class ResetForm(forms.Form):
    """Asks whose password was forgotten."""

    who = forms.CharField(
        label=_("User name or e-mail address"),
        max_length=LONGEST_EMAIL,
        widget=forms.TextInput(attrs={"autocomplete": "username", **EXACTLY}),
    )
