"""Which user names are valid, and when two names are the same. Pure."""

import unicodedata
from functools import cache

from confusable_homoglyphs.utils import load
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

SHORTEST = 3
LONGEST = 40
PUNCTUATION = frozenset("._-")
# characters that AntennaPod and other podcast apps refuse in the user name for their log-in
REFUSED_BY_APPS = "!@#$%&*()+=|<>?{}[]~"
# enough for a vowel sign and a virama or accent: more marks on one letter only serve to disfigure a page
MOST_MARKS_IN_A_ROW = 2

# Names that are, or may become, a route of the instance, or that could pass for its operator.
_RESERVED = """
    about abuse account accounts admin administrator anonymous api app app-creator apps assets authorize
    balados collections contact dashboard docs episodes everyone export favicon.ico feed feeds health help
    history host hostmaster import info live log_in log_out login logout mail manifest.json me media
    metrics moderator new nobody null official operator owner play playlists podcasts postmaster privacy
    privacy-manager public register robots.txt root rss security self settings setup sitemap.xml staff
    static status subscriptions superuser support sync sysadmin system team timeline token tokens trending
    undefined user users webmaster well-known www
"""
RESERVED = frozenset(_RESERVED.split())
# the marks of voiced kana, which make a consonant of its own and are not accents
VOICED = frozenset("\u3099\u309a")

# Scripts that one word may mix (Unicode TR 39, "highly restrictive").
WRITTEN_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
)


def username_key(name: str) -> str:
    """Return the form in which names are unique and looked up: NFKC and case-folded."""
    # folding can undo NFKC (U+0345), so NFKC is applied again
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def username_skeleton(name: str) -> str:
    """Return the form in which names that look alike are the same.

    It has no case and no accents, and the same character for all that look alike (Unicode's confusables).
    """
    decomposed = unicodedata.normalize("NFKD", username_key(name))
    bare = "".join(each for each in decomposed if not unicodedata.combining(each) or each in VOICED)
    return username_key(bare.translate(_prototypes()))


def validate_username(name: str) -> None:
    """Raise ``ValidationError`` (codes length, characters, scripts, reserved) if this is not a valid user
    name."""
    for form in (name, unicodedata.normalize("NFKC", name)):
        _check_characters(form)
    scripts = {script for script in map(_script, unicodedata.normalize("NFKC", name)) if script}
    if len(scripts) > 1 and not any(scripts <= together for together in WRITTEN_TOGETHER):
        raise ValidationError(_("A user name is written in one script."), code="scripts")
    if username_skeleton(name) in _reserved_skeletons():
        raise ValidationError(_("This user name is reserved."), code="reserved")


def _check_characters(name: str) -> None:
    if not SHORTEST <= len(name) <= LONGEST:
        raise ValidationError(
            _("A user name has %(shortest)d to %(longest)d characters."),
            code="length",
            params={"shortest": SHORTEST, "longest": LONGEST},
        )
    marks = 0
    for character in name:
        category = unicodedata.category(character)
        marks = marks + 1 if category.startswith("M") else 0
        if character in REFUSED_BY_APPS:
            signs = " ".join(REFUSED_BY_APPS)
            raise ValidationError(
                _("Podcast apps refuse user names with %(signs)s"), code="characters", params={"signs": signs}
            )
        known = category.startswith("L") or category in ("Nd", "Mn", "Mc") or character in PUNCTUATION
        if not known or marks > MOST_MARKS_IN_A_ROW:
            raise ValidationError(
                _("A user name consists of letters, digits and the signs . _ and -"), code="characters"
            )
    if not name[0].isalnum() or name[-1] in PUNCTUATION or ".." in name:
        raise ValidationError(_("A user name starts and ends with a letter or a digit."), code="characters")


def _script(character: str) -> str | None:
    """Return the script of a letter, read from its Unicode name (the standard library has no script
    property)."""
    if not unicodedata.category(character).startswith("L"):
        return None
    word = unicodedata.name(character, "UNNAMED").split()[0]
    return word.partition("-")[0]  # KATAKANA-HIRAGANA PROLONGED SOUND MARK


@cache
def _reserved_skeletons() -> frozenset[str]:
    return frozenset(map(username_skeleton, RESERVED))


@cache
def _prototypes() -> dict[int, str]:
    """Map each character that looks like another to that other one (Unicode TR 39, confusables).

    Read at the first registration: it takes 0.3 s and, for as long, 18 MB.
    """
    listed = {
        character.strip("\u200e"): [other["c"].strip("\u200e") for other in others]
        for character, others in load("confusables.json").items()
    }
    # If only two characters look alike, take the one that comes first in Unicode; otherwise their common
    # prototype.
    return {
        ord(character): min(character, *others) if len(listed[others[0]]) == 1 else others[0]
        for character, others in listed.items()
        if len(character) == len(others) == 1
    }
