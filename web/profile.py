"""/settings/profile: what a listener tells about himself, and whether others see it."""

import unicodedata
from datetime import timedelta
from typing import Any, Final

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts import attempts, profiles
from accounts.login_limits import too_many
from accounts.models import Profile, User
from accounts.pages import read_or_post
from eventstore.domain.identifiers import InvalidIdentifier, normalise_url
from feeds.covers import SIZES
from feeds.images import NoImage, thumbnails
from web import people
from web.shortcuts import for_listeners
from web.toasts import tell

LARGEST: Final = 5 * 1024 * 1024
MOST_LINKS: Final = 5
LONGEST_LINK: Final = 500
# format characters that are allowed, unlike other control, format and private-use characters: some
# languages and emoji need them
JOINERS: Final = frozenset("\u200c\u200d")
# pictures that one listener may have decoded; each takes a second of processor time
PICTURES, PICTURES_WITHIN = 20, timedelta(hours=1)


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """The form of a profile. ``pictures``: what to store of an uploaded picture; {} to remove the
    picture, None to leave it as it is."""

    picture = forms.FileField(
        label=gettext_lazy("Picture"),
        required=False,
        help_text=gettext_lazy(
            "JPEG, PNG, WebP or GIF, 5 MB at most. Nothing but the picture itself is kept."
        ),
        widget=forms.FileInput(attrs={"accept": "image/jpeg,image/png,image/webp,image/gif"}),
    )
    links = forms.CharField(
        label=gettext_lazy("Links"),
        required=False,
        help_text=gettext_lazy("Addresses of pages of yours, one on a line, five at most."),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "autocapitalize": "none"}),
    )
    no_picture = forms.BooleanField(label=gettext_lazy("Remove the picture"), required=False)

    class Meta:
        model = Profile
        fields = ("public_name", "bio", "is_public")
        labels = {
            "public_name": gettext_lazy("Name"),
            "bio": gettext_lazy("About you"),
            "is_public": gettext_lazy("Others may see my profile"),
        }
        help_texts = {
            "public_name": gettext_lazy("As others read it; your user name stands beside it."),
            "is_public": gettext_lazy("Until you tick this, nobody but you sees any of it."),
        }
        widgets = {"bio": forms.Textarea(attrs={"rows": 4})}

    pictures: dict[int, bytes] | None = None

    def clean_public_name(self) -> str:
        name = " ".join(self.cleaned_data["public_name"].split())
        if any(unicodedata.category(each).startswith("C") and each not in JOINERS for each in name):
            raise ValidationError(_("There are characters in it that nobody can see."), code="invisible")
        return name

    def clean_links(self) -> list[str]:
        lines = [line.strip() for line in self.cleaned_data["links"].splitlines() if line.strip()]
        faults = [fault for number, line in enumerate(lines, 1) if (fault := _fault_of_link(number, line))]
        if len(lines) > MOST_LINKS:
            faults.append(ValidationError(_("Five links at most."), code="too_many"))
        if faults:
            raise ValidationError(faults)
        return list(dict.fromkeys(map(_link, lines)))

    def clean_picture(self) -> Any:
        file = self.cleaned_data["picture"]
        if file is None:
            return None
        if (file.size or 0) > LARGEST:
            raise ValidationError(_("A picture may have 5 MB at most."), code="too_large")
        try:
            self.pictures = thumbnails(file.read(), SIZES)
        except NoImage:
            raise ValidationError(_("This is no picture that can be read."), code="no_image") from None
        return file

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("no_picture") and self.pictures is None:
            self.pictures = {}
        return cleaned


@read_or_post
@for_listeners
def profile(request: HttpRequest, user: User) -> HttpResponse:
    """Show the form; a POST saves it."""
    own = profiles.of(user)
    if request.method != "POST":
        return _page(request, user, own, ProfileForm(instance=own, initial={"links": "\n".join(own.links)}))
    if request.FILES:
        wait = attempts.count("picture", str(user.pk), PICTURES, PICTURES_WITHIN)
        if wait:
            return too_many(request, wait)
    form = ProfileForm(request.POST, request.FILES, instance=own)
    if not form.is_valid():
        return _page(request, user, profiles.of(user), form, status=400)
    own.links = form.cleaned_data["links"]
    profiles.keep(own, form.pictures)
    is_seen = own.is_public and not own.is_withdrawn
    tell(request, _("Kept. Others see your profile.") if is_seen else _("Kept. Only you see it."))
    return redirect("profile")


def _page(
    request: HttpRequest, user: User, own: Profile, form: ProfileForm, status: int = 200
) -> HttpResponse:
    shown = people.Person(user.username, own.public_name or user.username, own.avatar)
    context = {"form": form, "person": shown, "has_page": people.has_page(user)}
    context["is_withdrawn"] = own.is_withdrawn
    context["address"] = f"{settings.PUBLIC_URL}{shown.path}"
    return render(request, "web/profile/profile.html", context, status=status)


def _link(line: str) -> str:
    return normalise_url(line if "://" in line else f"https://{line}")


def _fault_of_link(number: int, line: str) -> ValidationError | None:
    params = {"number": number}
    try:
        if len(_link(line)) <= LONGEST_LINK:
            return None
    except InvalidIdentifier:
        return ValidationError(_("Line %(number)d is no address of a page."), code="invalid", params=params)
    return ValidationError(_("The address in line %(number)d is too long."), code="too_long", params=params)
