"""/styleguide: every component on one page, with contents that are hard to display.
Available only if DEBUG is on."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from eventstore.domain.identifiers import feed_of_url, item_of
from eventstore.domain.privacy import Level
from web.display import Episode, Podcast
from web.lists import ListSummary
from web.people import Person
from web.playlists import KIND
from web.privacy_levels import LEVELS, EffectiveLevel
from web.trending import PodcastLine

TITLES = (
    "Slow Radio",
    "The Extraordinarily Long-Winded Podcast Companion of the Greater Metropolitan Area, Unabridged",
    "بودكاست الراديو البطيء",
    "日本語の番組",
    "Donaudampfschifffahrtsgesellschaftskapitänsmütze",
    "<b>Bold</b> & Brave",
    "7",
    "Les Bébés Énervés",
)
PUBLISHED = datetime(2026, 11, 27, 6, 0, tzinfo=UTC)


class ExampleForm(forms.Form):
    """A form with one field of each kind."""

    address = forms.URLField(label="Address", help_text="Of a feed.", assume_scheme="https")
    order = forms.ChoiceField(label="Order", choices=[("newest", "Newest first"), ("title", "By title")])
    level = forms.ChoiceField(
        label="Level", choices=[("public", "Public"), ("private", "Private")], widget=forms.RadioSelect
    )
    notes = forms.CharField(label="Notes", widget=forms.Textarea(attrs={"rows": 3}), required=False)
    sure = forms.BooleanField(label="I am sure")


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    """Show the style guide; 404 if DEBUG is off."""
    if not settings.DEBUG:
        raise Http404
    messages.success(request, "Unfollowed Slow Radio.", extra_tags="/styleguide")
    context = {
        "podcasts": [_podcast(number, title) for number, title in enumerate(TITLES)],
        "lines": [
            PodcastLine(
                _podcast(number, title), "12 followers · 40 plays", [Person("ada", "Ada")], number == 1
            )
            for number, title in enumerate(TITLES[:3])
        ],
        "episodes": [_episode(number, title) for number, title in enumerate(TITLES)],
        "form": ExampleForm(),
        "faulty": ExampleForm({"address": "no address", "order": "newest"}),
        "percents": [0, 1, 33, 75, 100],
        "levels": [_glance(number, level) for number, level in enumerate(LEVELS)],
        "lists": [_list(number, title) for number, title in enumerate(TITLES)],
    }
    return render(request, "web/styleguide.html", context)


def _glance(number: int, level: Level) -> EffectiveLevel:
    return EffectiveLevel(feed_of_url(f"https://feeds.example.org/{number}"), None, level, "user", None)


def _podcast(number: int, title: str) -> Podcast:
    feed = feed_of_url(f"https://feeds.example.org/{number}")
    newest_at = PUBLISHED - timedelta(days=3 * number) if number != 3 else None
    return Podcast(feed, title, number != 4, newest_at=newest_at, unplayed=(0, 3, 128, 12)[number % 4])


def _episode(number: int, title: str) -> Episode:
    position, played = ((0, False), (754, False), (3_600, True), (1, False))[number % 4]
    return Episode(
        feed_of_url(f"https://feeds.example.org/{number}"),
        item_of(f"episode {number}", ""),
        title,
        TITLES[-number],
        published_at=PUBLISHED - timedelta(hours=9 * number),
        duration=None if number == 7 else 3_600,
        position=position,
        played=played,
    )


def _list(number: int, title: str) -> ListSummary:
    color = ("", "#1565c0", "#8f7000", "")[number % 4]
    covers = [_podcast(each, name) for each, name in enumerate(TITLES[: number % 5])]
    return ListSummary(KIND, UUID(int=number), title, "", color, number % 2 == 0, False, 3 * number, covers)
