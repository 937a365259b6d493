"""Play tokens on /apps: the addresses of a listener's lists, for players that do not support sync."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid4

from django import forms
from django.conf import settings
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.debug import sensitive_post_parameters

from accounts.app_models import AppPassword
from accounts.models import MOST_TOKENS, AppGrant, PlayToken, User
from accounts.pages import read_or_post
from projections import lists
from web.confirmation import ask
from web.qr_codes import drawn
from web.shortcuts import for_listeners, is_partial
from web.toasts import tell

LONGEST_NAME: Final = 100
# the number of lists of each kind that are offered; the API can make tokens for any others
MOST_LISTS: Final = 50
# a code adds 2 KB to the page; the lists scanned most often come first
MOST_CODES: Final = 12
DAYS: Final = {"": None, "30": timedelta(days=30), "365": timedelta(days=365)}


class OwnList(NamedTuple):
    """A list that a token opens. ``name``: the name used to limit the token to it; ``path``: the part of
    the address after the token."""

    name: str
    label: str
    path: str


class Token(NamedTuple):
    """A token with the labels of the lists that it is limited to, if any."""

    row: PlayToken
    opens: list[str] | None
    is_expired: bool


class Address(NamedTuple):
    """The address of a list, with its QR code if it has one."""

    label: str
    address: str
    code: SafeString | None


class TokenForm(forms.Form):
    """The name of a new token, what it opens, and for how long. ``request`` identifies the form, so that
    sending it twice is harmless.

    ``only``: the list that the token is for, if there is no choice.
    """

    name = forms.CharField(
        label=gettext_lazy("Which player is it for?"),
        max_length=LONGEST_NAME,
        help_text=gettext_lazy(
            "The history calls it so: “Kitchen radio”, “Car”. Make addresses for each player, so that"
            " you can take back those of one."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    lists = forms.MultipleChoiceField(
        label=gettext_lazy("Only these lists"),
        help_text=gettext_lazy("None ticked: everything, also what you add later."),
        required=False,
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.ChoiceField(
        label=gettext_lazy("Works for"),
        required=False,
        choices=[
            ("", gettext_lazy("Until I take it back")),
            ("30", gettext_lazy("30 days")),
            ("365", gettext_lazy("One year")),
        ],
    )
    request = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(
        self, offered: Sequence[OwnList], *args: Any, only: OwnList | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.only = only
        field: Any = self.fields["lists"]
        field.choices = [(each.name, each.label) for each in offered]
        if only is not None:
            del self.fields["lists"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        return cleaned if self.only is None else {**cleaned, "lists": [self.only.name]}

    def clean_request(self) -> UUID:
        """Return the id of the form, or a new one if there is none; in that case a
        repetition is not recognised."""
        try:
            return UUID(self.cleaned_data["request"])
        except ValueError:
            return uuid4()


class RenameForm(forms.Form):
    """A new name for a token."""

    name = forms.CharField(label=gettext_lazy("Name"), max_length=LONGEST_NAME)


def listed(user_id: UUID, now: datetime) -> list[Token]:
    """Return a listener's tokens, the oldest first."""
    labels = {each.name: each.label for each in lists_of(user_id)}
    return [
        Token(
            row,
            None if row.lists is None else [labels.get(name, _("a list that is gone")) for name in row.lists],
            row.expires_at is not None and row.expires_at <= now,
        )
        for row in PlayToken.objects.filter(user_id=user_id).order_by("pk")
    ]


def lists_of(user_id: UUID) -> list[OwnList]:
    """Return what tokens can open: everything followed, what is saved, the
    queue, playlists and collections."""
    playlists = [row for row in lists.PLAYLISTS.page(user_id, limit=MOST_LISTS).rows if row.kind != "queue"]
    # the default collection is the same as everything followed
    collections = [
        row for row in lists.COLLECTIONS.page(user_id, limit=MOST_LISTS).rows if not row.is_default
    ]
    return [
        OwnList("subscriptions", _("Everything that you follow"), "subscriptions"),
        OwnList("saved", _("Saved episodes"), "saved"),
        OwnList("queue", _("Up next"), "queue"),
        *(
            OwnList(str(row.id), _("Playlist: %(name)s") % {"name": row.name}, f"playlists/{row.id}")
            for row in playlists
        ),
        *(
            OwnList(str(row.id), _("Collection: %(name)s") % {"name": row.name}, f"collections/{row.id}")
            for row in collections
        ),
    ]


def _one_list(user_id: UUID, name: str) -> OwnList:
    """Return the list of that name. Raises ``Http404``, also if it belongs to another listener."""
    if name == "subscriptions":
        return OwnList(name, _("Everything that you follow"), name)
    if name == "queue":
        return OwnList(name, _("Up next"), name)
    try:
        list_id = UUID(name)
    except ValueError:
        raise Http404 from None
    for row in lists.PLAYLISTS.find(user_id, list_id).rows:
        return OwnList(str(row.id), _("Playlist: %(name)s") % {"name": row.name}, f"playlists/{row.id}")
    for found in lists.COLLECTIONS.find(user_id, list_id).rows:
        label = _("Collection: %(name)s") % {"name": found.name}
        return OwnList(str(found.id), label, f"collections/{found.id}")
    raise Http404


@sensitive_post_parameters()
@read_or_post
@for_listeners
def new(request: HttpRequest, user: User) -> HttpResponse:
    """Make a token; its addresses are shown in this response and nowhere else. ``list`` names
    the one list that it is for."""
    only = _one_list(user.pk, request.GET["list"]) if "list" in request.GET else None
    offered, now = [only] if only else lists_of(user.pk), timezone.now()
    if request.method != "POST":
        return _form(request, TokenForm(offered, only=only, initial={"request": uuid4()}))
    form = TokenForm(offered, request.POST, only=only)
    text = _issue(user, form, now) if form.is_valid() else None
    if text is None:
        return _form(request, form, status=400)
    chosen = form.cleaned_data["lists"]
    opened = [each for each in offered if not chosen or each.name in chosen]
    context = {"name": form.cleaned_data["name"], "addresses": _addresses(text, opened)}
    return render(request, "web/apps/token.html", context, status=201)


@read_or_post
@for_listeners
def rename(request: HttpRequest, user: User, token_id: int) -> HttpResponse:
    """Rename a token; a GET shows the form."""
    token = get_object_or_404(PlayToken, user=user, pk=token_id)
    return answer_rename(request, token, token.name)


def answer_rename(request: HttpRequest, row: PlayToken | AppPassword | AppGrant, shown: str) -> HttpResponse:
    """Rename a row, or show the form; ``shown`` is its current name."""
    form = RenameForm(request.POST if request.method == "POST" else None, initial={"name": row.name})
    if request.method != "POST" or not form.is_valid():
        template = "_rename" if is_partial(request, "dialog") else "rename"
        context = {"form": form, "name": shown, "action": request.get_full_path()}
        return render(request, f"web/apps/{template}.html", context, status=400 if form.is_bound else 200)
    row.name = form.cleaned_data["name"]
    row.save(update_fields=["name"])
    tell(request, _("It is called %(name)s now.") % {"name": row.name})
    return redirect("apps")


@read_or_post
@for_listeners
def revoke(request: HttpRequest, user: User, token_id: int) -> HttpResponse:
    """Revoke a token for good; a GET asks for confirmation."""
    token = get_object_or_404(PlayToken, user=user, pk=token_id)
    if request.method != "POST":
        return ask(
            request,
            heading=_("Revoke %(app)s?") % {"app": token.name},
            text=_("Its addresses open nothing from now on. For the same player, make new ones."),
            action=f"/apps/tokens/{token_id}/revoke",
            label=_("Revoke"),
            back="/apps",
        )
    token.delete()
    tell(request, _("The addresses of %(name)s open nothing any more.") % {"name": token.name})
    return redirect("apps")


def _form(request: HttpRequest, form: TokenForm, status: int = 200) -> HttpResponse:
    return render(request, "web/apps/new_token.html", {"form": form}, status=status)


def _issue(user: User, form: TokenForm, now: datetime) -> str | None:
    """Return the text of the token that the form asks for, the same for each repetition; None if refused,
    with the reason added to the form."""
    wanted = form.cleaned_data
    text = PlayToken.text_of(user.pk, wanted["request"])
    tokens = PlayToken.objects.filter(user=user)
    if tokens.filter(token_hash=PlayToken.digest(text)).exists():
        return text
    if tokens.count() >= MOST_TOKENS:
        form.add_error(None, _("You have %(count)s already: revoke one first.") % {"count": MOST_TOKENS})
        return None
    life = DAYS[wanted["days"]]
    with suppress(IntegrityError):  # the same form was sent twice at once
        PlayToken.objects.issue(
            user, wanted["name"], now, now + life if life else None, text, wanted["lists"] or None
        )
    return text


def _addresses(text: str, opened: Sequence[OwnList]) -> list[Address]:
    found = []
    for number, each in enumerate(opened):
        address = f"{settings.PUBLIC_URL}/rss/{text}/{each.path}.xml"
        found.append(Address(each.label, address, drawn(address) if number < MOST_CODES else None))
    return found
