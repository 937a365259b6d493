"""Categories and languages of podcasts, as their lists offer them: in the reader's language."""

from typing import Final

from django.utils.functional import Promise
from django.utils.translation import get_language_info, pgettext_lazy
from django.utils.translation import gettext_lazy as _

from feeds import search
from web.keeping import kept

KEPT_S = 600
# the upper level of the categories, by slug (operations/seeds/categories.toml)
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


def categories() -> list[tuple[str, str]]:
    """The slug and the name of each, by name."""
    return sorted(((slug, str(name)) for slug, name in CATEGORIES.items()), key=lambda each: each[1])


def languages() -> list[tuple[str, str]]:
    """The code and the name of each language that a public podcast is in, by name."""
    known = []
    for code in kept("podcast_languages", KEPT_S, search.languages):
        try:
            known.append((code, str(get_language_info(code)["name_translated"]).capitalize()))
        except KeyError:  # a code that Django has no name for
            continue
    return sorted(known, key=lambda each: each[1])
