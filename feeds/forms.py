"""The administration's form for what an operator adds to a podcast."""

from typing import Any
from uuid import UUID

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import URLValidator

from eventstore.domain.identifiers import InvalidIdentifier, feed_key_of, feed_of_url, normalise_url
from eventstore.domain.secrets import is_secret_url
from feeds.models import EnrichedPodcast

MOST_LINKS = 20
LONGEST_TITLE = 200


class LinksField(forms.CharField):
    """Links, one per line: the address, a space, and a title."""

    widget = forms.Textarea(attrs={"rows": 4, "cols": 80})
    is_address = URLValidator(schemes=["http", "https"])

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, list):
            return value
        return "\n".join(f"{link['url']} {link['title']}" for link in value)

    def to_python(self, value: Any) -> list[dict[str, str]]:  # type: ignore[override]
        """Parse the lines. Raises ``ValidationError``, which names the invalid line."""
        lines = [line.strip() for line in (value or "").splitlines() if line.strip()]
        if len(lines) > MOST_LINKS:
            raise ValidationError(f"At most {MOST_LINKS} links.")
        return [self._link(number, *line.partition(" ")[::2]) for number, line in enumerate(lines, 1)]

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.prepare_value(initial or []) != (data or ""))

    def _link(self, number: int, url: str, title: str) -> dict[str, str]:
        try:
            self.is_address(url)
        except ValidationError:
            raise ValidationError(f"Line {number}: an http or https address comes first.") from None
        return {"url": url, "title": title.strip()[:LONGEST_TITLE] or url}


class EnrichedPodcastForm(forms.ModelForm):  # type: ignore[type-arg]
    """Additions to a podcast. ``url`` can only be set once: it identifies the podcast that they are about."""

    links = LinksField(required=False, help_text="One per line: the address, a space, the name of the link.")

    class Meta:
        model = EnrichedPodcast
        fields = ("url", "slug", "color", "links", "note", "featured")
        widgets = {"url": forms.TextInput(attrs={"size": 80})}

    def clean_url(self) -> str:
        try:
            url = normalise_url(self.cleaned_data["url"])
        except InvalidIdentifier as error:
            raise ValidationError(f"Not a feed: {error}.") from None
        if is_secret_url(url):
            raise ValidationError("This address is a key to the feed: what is said of it would be public.")
        self.instance.feed_key = UUID(feed_key_of(feed_of_url(url)))
        return url

    def clean_color(self) -> str:
        color: str = self.cleaned_data["color"]
        return color.lower()
