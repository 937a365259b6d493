"""What may be a user name, and when two names are the same. Pure."""

import unicodedata

from django.core.exceptions import ValidationError

SHORTEST = 3
LONGEST = 40
PUNCTUATION = frozenset("._-")
# a vowel sign and a virama or accent: more marks on one letter only serve to disfigure a page
MOST_MARKS_IN_A_ROW = 2

# Names that are, or may become, a route of the instance, or that pass for its voice.
_RESERVED = """
    about abuse account accounts admin administrator anonymous api app app-creator apps assets authorize
    balados collections contact dashboard docs episodes everyone favicon.ico feed feeds health help history
    host hostmaster info live log_in log_out login logout mail manifest.json me media metrics moderator
    nobody null official operator owner play playlists podcasts postmaster privacy privacy-manager public
    register robots.txt root rss security self settings setup sitemap.xml staff static status subscriptions
    superuser support sync sysadmin system team timeline token tokens trending undefined user users
    webmaster well-known www
"""
RESERVED = frozenset(_RESERVED.split())

# Letters of other scripts, and odd ones of our own, that read as a Latin letter: enough to recognise a
# reserved name in disguise. Mixed scripts are refused anyway; this catches names all in one script.
LOOKALIKES = str.maketrans(
    "асԁеһіјкӏмпорԛгѕтуѵԝхь" + "αβεικνορτυχω" + "ɑıɡɩǀ",
    "acdehijklmnopqrstuvwxb" + "abeikvoptuxw" + "aigil",
)

# Scripts that one word may mix (Unicode TR 39, "highly restrictive").
WRITTEN_TOGETHER = (
    frozenset({"LATIN", "CJK", "HIRAGANA", "KATAKANA"}),
    frozenset({"LATIN", "CJK", "HANGUL"}),
    frozenset({"LATIN", "CJK", "BOPOMOFO"}),
)


def username_key(name: str) -> str:
    """The form in which names are unique and looked up: NFKC and case-folded."""
    # folding can undo NFKC (U+0345), so it is applied again
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def validate_username(name: str) -> None:
    """Raise ``ValidationError`` (codes length, characters, scripts, reserved) for what is no user name."""
    for form in (name, unicodedata.normalize("NFKC", name)):
        _check_characters(form)
    scripts = {script for script in map(_script, unicodedata.normalize("NFKC", name)) if script}
    if len(scripts) > 1 and not any(scripts <= together for together in WRITTEN_TOGETHER):
        raise ValidationError("A user name is written in one script.", code="scripts")
    if _skeleton(name) in RESERVED:
        raise ValidationError("This user name is reserved.", code="reserved")


def _check_characters(name: str) -> None:
    if not SHORTEST <= len(name) <= LONGEST:
        raise ValidationError(f"A user name has {SHORTEST} to {LONGEST} characters.", code="length")
    marks = 0
    for character in name:
        category = unicodedata.category(character)
        marks = marks + 1 if category.startswith("M") else 0
        known = category.startswith("L") or category in ("Nd", "Mn", "Mc") or character in PUNCTUATION
        if not known or marks > MOST_MARKS_IN_A_ROW:
            raise ValidationError(
                "A user name consists of letters, digits and the signs . _ and -", code="characters"
            )
    if not name[0].isalnum() or name[-1] in PUNCTUATION or ".." in name:
        raise ValidationError("A user name starts and ends with a letter or a digit.", code="characters")


def _script(character: str) -> str | None:
    """The script of a letter, read from its Unicode name (the standard library has no script property)."""
    if not unicodedata.category(character).startswith("L"):
        return None
    word = unicodedata.name(character, "UNNAMED").split()[0]
    return word.partition("-")[0]  # KATAKANA-HIRAGANA PROLONGED SOUND MARK


def _skeleton(name: str) -> str:
    """The name as a hurried reader takes it: without accents and with look-alikes replaced."""
    bare = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return username_key(bare).translate(LOOKALIKES)
