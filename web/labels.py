"""Categories and languages of podcasts, and the roles of people in them, in the reader's language."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import get_language_info, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from feeds import search
from web.caching import kept

KEPT_S = 600
# the top-level categories, by slug (operations/seeds/categories.toml)
CATEGORIES: Final[dict[str, Promise]] = {
    "arts": _("Arts"),
    "business": _("Business"),
    "comedy": _("Comedy"),
    "education": _("Education"),
    "fiction": _("Fiction"),
    "government": _("Government"),
    "health-and-fitness": _("Health & fitness"),
    "history": pgettext_lazy("subject", "History"),
    "kids-and-family": _("Kids & family"),
    "leisure": _("Leisure"),
    "music": _("Music"),
    "news": _("News"),
    "religion-and-spirituality": _("Religion & spirituality"),
    "science": _("Science"),
    "society-and-culture": _("Society & culture"),
    "sports": _("Sports"),
    "technology": _("Technology"),
    "true-crime": _("True crime"),
    "tv-and-film": _("TV & film"),
}
# the most common roles of the Podcasting 2.0 taxonomy; others are shown as the feed writes them
ROLES: Final[dict[str, Promise]] = {
    "host": _("host"),
    "co-host": _("co-host"),
    "cohost": _("co-host"),
    "guest": _("guest"),
    "guest host": _("guest host"),
    "producer": _("producer"),
    "executive producer": _("executive producer"),
    "editor": _("editor"),
    "audio editor": _("audio editor"),
    "author": _("author"),
    "writer": _("writer"),
    "narrator": _("narrator"),
    "reporter": _("reporter"),
    "director": _("director"),
    "sound designer": _("sound designer"),
    "composer": _("composer"),
    "researcher": _("researcher"),
    "voice actor": _("voice actor"),
}


def categories() -> list[tuple[str, str]]:
    """Return the slug and the name of each category, sorted by name."""
    return sorted(((slug, str(name)) for slug, name in CATEGORIES.items()), key=lambda each: each[1])


def languages() -> list[tuple[str, str]]:
    """Return the code and the name of each language of a public podcast, sorted by name."""
    codes = kept("podcast_languages", KEPT_S, search.languages)
    known = [(code, name) for code in codes if (name := language(code))]
    return sorted(known, key=lambda each: each[1])


def language(code: str) -> str:
    """Return the name of the language of a code such as ``fr`` or ``pt-BR``; "" if
    the language has no name here."""
    lowered = code.strip().lower().replace("_", "-")
    for known in (lowered, lowered.partition("-")[0]):
        try:
            return str(get_language_info(known)["name_translated"]).capitalize()
        except KeyError:
            continue
    return ""


def category(name: str) -> str:
    """Return the translated name of a top-level category, given as a feed writes it;
    any other category unchanged."""
    slug = name.strip().lower().replace("&", "and").replace(" ", "-")
    return str(CATEGORIES.get(slug, name))


def role(name: str) -> str:
    """Return the translated name of a person's role in a podcast."""
    return str(ROLES.get(name.strip().lower(), name))
