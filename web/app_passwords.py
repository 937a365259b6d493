"""App passwords on /apps, with which podcast apps sign in that speak the gPodder or Nextcloud protocols."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_POST

from accounts import app_log, app_login
from accounts.app_models import AppPassword, AppSession, digest
from accounts.models import User
from accounts.pages import read_or_post
from projections import devices
from web.app_log import Program, programs, trouble
from web.confirmation import ask
from web.play_tokens import LONGEST_NAME, answer_rename
from web.qr_codes import drawn
from web.shortcuts import for_listeners
from web.toasts import tell

MOST_PASSWORDS: Final = 50


class PasswordRow(NamedTuple):
    """A password with the names of the devices for which its app sends requests, as far as they are known.
    ``trouble`` says how the app's last request was refused, or is ""."""

    row: AppPassword
    devices: list[str]
    trouble: str


class Passwords(NamedTuple):
    """The app passwords of a listener. ``others``: apps that signed in with the account's own password.
    ``own``: whether apps may use that password; None if the server lets no app do so."""

    rows: list[PasswordRow]
    others: list[Program]
    own: bool | None


class Value(NamedTuple):
    """A value to enter in an app, with a QR code if it is awkward to type."""

    name: str
    label: str
    value: str
    code: SafeString | None


class PasswordForm(forms.Form):
    """The name of a new app password. ``request`` identifies the form, so that
    sending it twice is harmless."""

    name = forms.CharField(
        label=gettext_lazy("Which app is it for?"),
        max_length=LONGEST_NAME,
        required=False,
        help_text=gettext_lazy(
            "For example “AntennaPod on my phone”. If you leave it empty, the app’s own name is taken once it"
            " has signed in."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    request = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_request(self) -> UUID:
        """Return the id of the form, or a new one if there is none; in that case a
        repetition is not recognised."""
        try:
            return UUID(self.cleaned_data["request"])
        except ValueError:
            return uuid4()


def listed(user: User) -> Passwords:
    """Return a listener's app passwords, the oldest first, and the apps that use none."""
    rows = AppPassword.objects.filter(user=user).order_by("made_at", "pk")
    sessions = list(
        AppSession.objects.filter(user=user)
        .exclude(password=None)
        .order_by("-used_at")
        .values_list("password_id", "device")
    )
    captions, known = devices.captions(user.pk), app_log.apps(user.pk)
    own = user.app_login_with_password if settings.APP_LOGIN_WITH_ACCOUNT_PASSWORD else None
    return Passwords(
        [
            PasswordRow(
                row,
                list(_devices(row.pk, sessions, captions)),
                trouble(known.get(app_log.app_of(row.pk, ""))),
            )
            for row in rows
        ],
        programs(user.pk, known),
        own,
    )


@sensitive_post_parameters()
@read_or_post
@for_listeners
def new(request: HttpRequest, user: User) -> HttpResponse:
    """Make an app password; it is shown in this response and nowhere else."""
    if request.method != "POST":
        return _form(request, PasswordForm(initial={"request": uuid4()}))
    form = PasswordForm(request.POST)
    text = _issue(user, form, timezone.now()) if form.is_valid() else None
    if text is None:
        return _form(request, form, status=400)
    context = {"name": form.cleaned_data["name"], "values": _values(user, text)}
    return render(request, "web/apps/password.html", context, status=201)


@read_or_post
@for_listeners
def rename(request: HttpRequest, user: User, password_id: UUID) -> HttpResponse:
    """Rename an app password; a GET shows the form."""
    row = get_object_or_404(AppPassword, user=user, pk=password_id)
    return answer_rename(request, row, _name(row))


@read_or_post
@for_listeners
def revoke(request: HttpRequest, user: User, password_id: UUID) -> HttpResponse:
    """Revoke an app password; a GET asks for confirmation."""
    row = get_object_or_404(AppPassword, user=user, pk=password_id)
    if request.method != "POST":
        return ask(
            request,
            heading=_("Revoke %(app)s?") % {"app": _name(row)},
            text=_("Its password opens nothing from now on. What the app has synchronised stays here."),
            action=request.path,
            label=_("Revoke"),
            back="/apps",
        )
    app_login.revoke(user.pk, row.pk)
    tell(request, _("%(app)s is shut out from now on.") % {"app": _name(row)})
    return redirect("apps")


@require_POST
@for_listeners
def own_password(request: HttpRequest, user: User) -> HttpResponse:
    """Set whether apps may sign in with the account's own password; ``allow`` is yes or no."""
    user.app_login_with_password = request.POST.get("allow") == "yes"
    user.save(update_fields=["app_login_with_password"])
    if user.app_login_with_password:
        tell(request, _("Podcast apps may use your account’s password again."))
    else:
        app_login.sign_out_own_password(user.pk)
        tell(request, _("Podcast apps need an app password from now on."))
    return redirect("apps")


def _form(request: HttpRequest, form: PasswordForm, status: int = 200) -> HttpResponse:
    return render(request, "web/apps/new_password.html", {"form": form}, status=status)


def _issue(user: User, form: PasswordForm, now: datetime) -> str | None:
    """Return the password that the form asks for, the same for each repetition; None if refused, with
    the reason added to the form."""
    text = AppPassword.text_of(user.pk, form.cleaned_data["request"])
    passwords = AppPassword.objects.filter(user=user)
    if passwords.filter(digest=digest(text)).exists():
        return text
    if passwords.count() >= MOST_PASSWORDS:
        form.add_error(None, _("You have %(count)s already: revoke one first.") % {"count": MOST_PASSWORDS})
        return None
    with suppress(IntegrityError):  # the same form was sent twice at once
        AppPassword.objects.issue(user.pk, form.cleaned_data["name"], now, text)
    return text


def _values(user: User, text: str) -> list[Value]:
    address = settings.PUBLIC_URL
    return [
        Value("server", _("Server address"), address, drawn(address)),
        Value("username", _("User name"), user.username, None),
        Value("password", _("App password"), text, drawn(text)),
    ]


def _name(row: AppPassword) -> str:
    return row.name or _("Unnamed app password")


def _devices(password: UUID, sessions: list[Any], captions: dict[str, str]) -> Iterator[str]:
    """Yield the names of the devices of a password, each once, the most recently used first."""
    devices = dict.fromkeys(device for of, device in sessions if of == password and device)
    return (captions.get(device, device) for device in devices)
