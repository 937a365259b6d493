"""Short names for the elements of feeds, independent of how namespace URIs and prefixes are written. Pure."""

import re

_ITUNES = re.compile(r"/dtds/podcast-1\.0(\.dtd)?$")
_PREFIXES = {
    "podcastindex.org/namespace/1.0": "podcast",
    "github.com/podcastindex-org/podcast-namespace/blob/main/docs/1.0.md": "podcast",
    "github.com/podcastindex-org/podcast-namespace/blob/master/docs/1.0.md": "podcast",
    "purl.org/rss/1.0/modules/content": "content",
    "purl.org/rss/1.0/modules/syndication": "sy",
    "search.yahoo.com/mrss": "media",
    "video.search.yahoo.com/mrss": "media",
    "www.rssboard.org/media-rss": "media",
    "www.w3.org/2005/atom": "atom",
    "purl.org/atom/ns#": "atom",
    "purl.org/dc/elements/1.1": "dc",
    "purl.org/dc/elements/1.0": "dc",
    "purl.org/dc/terms": "dc",
    "www.w3.org/1999/xhtml": "xhtml",
    "podlove.org/simple-chapters": "psc",
    "www.google.com/schemas/play-podcasts/1.0": "googleplay",
    "www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf",
    "purl.org/rss/1.0": "",
    "channel.netscape.com/rdf/simple/0.9": "",
    "my.netscape.com/rdf/simple/0.9": "",
    "my.netscape.com/publish/formats/rss-0.91.dtd": "",
    "purl.org/net/rss1.1#": "",
    "backend.userland.com/rss2": "",
    "blogs.law.harvard.edu/tech/rss": "",
}
# prefixes that are recognised even if a document does not declare them
_LITERAL = frozenset({"itunes", "podcast", "content", "media", "atom", "dc", "psc", "googleplay", "sy"})
_ROOTS = frozenset({"rss", "rdf", "feed", "channel"})


def short_name(tag: str, own_namespace: str = "", own_prefix: str = "") -> str:
    """Return an element's short name in lower case: ``{http://www.itunes.com/dtds/podcast-1.0.dtd}Duration``
    gives ``itunes:duration``.

    Elements of RSS have no prefix; the result is "" for any element of an unknown namespace. Elements in
    ``own_namespace`` get ``own_prefix``. An undeclared prefix is read as it is usually declared.
    """
    namespace, local = split_tag(tag)
    if not namespace and ":" in local:
        return local if local.partition(":")[0] in _LITERAL else ""
    prefix = own_prefix if namespace == own_namespace else _prefix_of(namespace)
    if prefix is None:
        return ""
    return f"{prefix}:{local}" if prefix else local


def split_tag(tag: str) -> tuple[str, str]:
    """Return the namespace and the local name, the latter in lower case."""
    if not tag.startswith("{"):
        return "", tag.lower()
    namespace, _, local = tag[1:].rpartition("}")
    return namespace, local.lower()


def is_root(tag: str) -> bool:
    """Whether a document that starts with this element may be RSS or Atom."""
    return split_tag(tag)[1] in _ROOTS


def _prefix_of(namespace: str) -> str | None:
    if not namespace:
        return ""
    plain = namespace.strip().lower().removeprefix("http://").removeprefix("https://").rstrip("/")
    return "itunes" if _ITUNES.search(plain) else _PREFIXES.get(plain)
