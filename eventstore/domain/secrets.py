"""Feeds whose URL is the key to them: never shown to anybody but their listener. Pure functions.

Members' feeds (Patreon, Supporting Cast, Substack, ...) are open to whoever knows their URL. Nothing says
which feeds these are, so this module judges by how a URL looks, and in doubt takes it for a secret: a public
feed that is taken for a private one is missing from a list, but the opposite mistake gives somebody's paid
feed away.
"""

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import unquote

from eventstore.domain.identifiers import parts_of_item, url_of_feed

# Services whose feeds are for members, on these hosts or below them.
PRIVATE_HOSTS = (
    "patreon.com",
    "patreonusercontent.com",
    "supportingcast.fm",
    "supercast.com",
    "supercast.tech",
    "memberful.com",
    "glow.fm",
    "subscribers.transistor.fm",
    "private.captivate.fm",
    "memberfulcontent.com",
    "hellosubs.com",
    "podia.com",
    "kajabi.com",
    "gumroad.com",
    "ko-fi.com",
    "steadyhq.com",
    "floatplane.com",
    "nebula.app",
    "wonderyplus.com",
    "stitcherpremium.com",
    "luminarypodcasts.com",
)
# URLs that are public although they look secret: they hold ids of shows, in the shapes that these hosts use.
PUBLIC_SHAPES = re.compile(
    r"""https?://(?:
        feeds\.feedburner\.com/[\w%+-]+(?:/[\w%+-]+)*
      | feeds\.megaphone\.fm/[A-Z]{2,5}\d{6,12}
      | feeds\.acast\.com/public/shows/[\w-]+
      | (?:www\.)?omnycontent\.com/d/playlist/[0-9a-f-]{36}/[0-9a-f-]{36}/[0-9a-f-]{36}/podcast\.rss
      | (?:www\.)?youtube\.com/feeds/videos\.xml\?(?:channel_id|playlist_id|user)=[\w-]+
    )/?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
# Names of whole path segments, and of subdomains, that are for members only.
_PLACES = """
    auth authenticated exclusive exclusives feedtoken memberfeed memberfeeds member members patron patrons
    personal premium private privatefeed privatefeeds privaterss secret secrets subscriber subscribers token
    tokens usertoken
"""
# Names of parameters that hold a key, or say who asks.
_PARAMETERS = """
    access accesskey accesstoken account accountid apikey appkey authkey authorization authtoken bearer
    clientid clientsecret code cred credential credentials email expires feedkey hash hmac jwt key keypairid
    login mail memberid nonce otp pass passcode passkey passphrase passwd password pin pkey policy pw pwd
    rsskey rsstoken secretkey session sessionid sid sig sign signature signed sso subscriberid subscription
    subscriptionid ticket tokenhash uid user userid userkey username
"""
PLACES = frozenset(_PLACES.split())
PARAMETERS = PLACES | frozenset(_PARAMETERS.split())
# Parts that make a longer name one of these: apitoken, x_secret_2.
_KEYS = re.compile("token|secret|passw|credential|signature|(?:auth|key)$")
# Names of parameters that say who asks, and of those that hold what only that person knows.
_WHO, _PROOF = frozenset(("u", "user", "username", "login")), frozenset(("p", "pw"))
# Top-level names of hosts that are not on the public internet.
LOCAL = ("localhost", "local", "lan", "internal", "intranet", "home", "corp", "onion", "test", "arpa")

# A URL may be quoted in another URL, and is percent-encoded once more each time: decode this many times at
# most.
LAYERS = 4
# A piece of this many letters and digits may hold a key (60 bits and more) where it is not made of words.
SHORTEST_KEY = 11
# So may a shorter one that changes between letters and digits more often than this: ids of shows rarely do.
SHORTEST_MIX, MOST_CHANGES = 9, 4
LONGEST_WORD, LONGEST_NUMBER = 32, 11
_LETTERS = re.compile("(?:%[89A-Fa-f][0-9A-Fa-f])+")
_PIECES = re.compile(r"[/?&=;,:#|@()\[\]{}<>\"'\\^`\s]+")
_NAMED = re.compile(r"[?&;/#,]([^?&;/#,=]+)=")
_WORDS = re.compile(r"[-_.~+!*$]+")
_SUFFIX = re.compile(r"\.(?:rss2?|xml|atom|json|mp3|m4a|php|aspx?|html?)$", re.IGNORECASE)
_NOT_ALPHANUMERIC = re.compile(r"[\W_]+")
_UUID = re.compile(r"[0-9a-f]{8}-?(?:[0-9a-f]{4}-?){3}[0-9a-f]{12}", re.IGNORECASE)
_CHANGES = re.compile(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}")
_HOST = re.compile(r"https?://([^/?#]*)", re.IGNORECASE)


@lru_cache(maxsize=8_192)
def is_secret_feed(feed: str) -> bool:
    """Whether a normalised ``rss_source_feed`` looks like a key to its feed, or is not a feed's URL at
    all."""
    try:
        return is_secret_url(url_of_feed(feed))
    except ValueError:
        return True


@lru_cache(maxsize=8_192)
def is_secret_item(item: str) -> bool:
    """Whether a normalised ``rss_source_item`` looks like a key, by its GUID or its enclosure.

    Files have ids in their paths, public ones too, so only the names of parameters, hosts and folders count.
    """
    try:
        return any("://" in part and _is_secret_file(part) for part in parts_of_item(item))
    except ValueError:
        return True


def is_secret_url(url: str) -> bool:
    """Whether a feed's URL looks like a key to it: by its host, a parameter, or a segment of its path."""
    if PUBLIC_SHAPES.fullmatch(url):
        return False
    if not _HOST.match(url):
        return True
    layers = _layers(url)
    return any(_is_closed_host(layer) or _is_secret(layer) or _holds_key(layer) for layer in layers)


def _is_secret_file(url: str) -> bool:
    layers = _layers(url)
    if any(_is_closed_host(layer) for layer in layers):
        return True
    if any(_is_closed_place(layer.partition("?")[0]) for layer in layers):
        return True
    return any(_names_key(f"?{query}") for layer in layers for query in layer.split("?")[1:])


def _layers(url: str) -> list[str]:
    """Return the URL as people read it, and each result of decoding it again."""
    layers = [_LETTERS.sub(_as_read, url)]
    for _ in range(LAYERS):
        decoded = unquote(layers[-1])
        if decoded == layers[-1]:
            break
        layers.append(decoded)
    return layers


def _as_read(letters: re.Match[str]) -> str:
    """Decode letters of other scripts, which are percent-encoded in every URL and would look like a key."""
    try:
        return unquote(letters[0], errors="strict")
    except UnicodeDecodeError:
        return letters[0]


def _is_closed_host(text: str) -> bool:
    """Whether a URL in the text names a host for members only, or one in a private network."""
    return any(map(_is_closed, _HOST.findall(text)))


def _is_closed(authority: str) -> bool:
    if "@" in authority:
        return True
    host = authority.lower() if authority.startswith("[") else authority.lower().partition(":")[0]
    host = host.strip("[]").rstrip(".")
    try:
        ip_address(host)
    except ValueError:
        pass
    else:
        return True
    if any(host == private or host.endswith(f".{private}") for private in PRIVATE_HOSTS):
        return True
    labels = host.split(".")
    return len(labels) == 1 or labels[-1] in LOCAL or not PLACES.isdisjoint(labels[:-2])


def _is_secret(text: str) -> bool:
    """Whether a parameter or a whole path segment has the name of a key, or an e-mail address names
    somebody."""
    return _names_key(text) or _is_closed_place(text) or _names_a_person(text)


def _is_closed_place(text: str) -> bool:
    return any(_plain(piece) in PLACES for piece in _pieces(text))


def _names_a_person(text: str) -> bool:
    """Whether an e-mail address follows the host."""
    _, _, rest = text.partition("://")
    return _ADDRESS.search(rest.partition("/")[2]) is not None


def _names_key(text: str) -> bool:
    names = _NAMED.findall(text)
    words = {word.lower() for name in names for word in _WORDS.split(name)}
    known = {_plain(name) for name in names}
    if not PARAMETERS.isdisjoint(known | words) or any(map(_KEYS.search, known)):
        return True
    return not (_WHO.isdisjoint(known) or _PROOF.isdisjoint(known))


def _holds_key(text: str) -> bool:
    return any(_is_key(piece) for piece in _pieces(text))


def _pieces(text: str) -> list[str]:
    """Return what is between the slashes, and between names and values."""
    _, _, rest = text.partition("://")
    return [_SUFFIX.sub("", piece) for piece in _PIECES.split(rest)]


def _plain(text: str) -> str:
    return _NOT_ALPHANUMERIC.sub("", text).lower()


def _is_key(piece: str) -> bool:
    """Whether a piece is anything other than words and short numbers."""
    if _UUID.search(piece) or piece.startswith("eyJ"):
        return True
    whole = _NOT_ALPHANUMERIC.sub("", piece)
    if len(whole) >= SHORTEST_MIX and len(_CHANGES.findall(whole)) > MOST_CHANGES:
        return True
    if len(whole) < SHORTEST_KEY or not whole.isascii():
        return False
    words = [word for word in _WORDS.split(piece) if word]
    if all(map(_is_word, words)):
        # hyphens cut a key into pieces that are on average shorter than words
        return len(words) > 2 and len(whole) / len(words) < 2.5
    return True


def _is_word(word: str) -> bool:
    """Whether this is a word as people write one (in one case, or with a capital first), a number, or both in
    a row."""
    found = re.fullmatch(r"(?:\d{0,4}([a-z]+|[A-Z]+|[A-Z][a-z]+)\d{0,4}|\d+)", word, re.ASCII)
    if found is None:
        return False
    letters = found[1]
    if letters is None:
        return len(word) <= LONGEST_NUMBER
    if len(word) > LONGEST_WORD:
        return False
    # years and episode numbers are common, keys with few digits are not
    return len(letters) < SHORTEST_KEY or not _CONSONANTS.search(letters.lower())
