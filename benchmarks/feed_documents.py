"""Podcast feeds of any size, with the tags that large shows use; the bytes are the same on every run."""

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from html import escape
from uuid import UUID

NEWEST = datetime(2026, 11, 1, 5, tzinfo=UTC)
WORDS = [
    "amber",
    "river",
    "signal",
    "quiet",
    "harbour",
    "lantern",
    "theory",
    "market",
    "garden",
    "copper",
    "winter",
    "archive",
    "morning",
    "orbit",
    "paper",
    "bridge",
    "folklore",
    "engine",
    "salt",
    "memory",
    "theatre",
    "island",
    "compass",
    "election",
    "protein",
    "glacier",
    "violin",
    "border",
    "kitchen",
    "thunder",
    "museum",
    "railway",
    "forest",
    "budget",
    "antenna",
    "language",
    "été",
    "château",
    "garçon",
    "Übung",
    "niño",
    "東京",
    "новости",
    "שלום",
]
NAMESPACES = {
    "itunes": "http://www.itunes.com/dtds/podcast-1.0.dtd",
    "podcast": "https://podcastindex.org/namespace/1.0",
    "content": "http://purl.org/rss/1.0/modules/content/",
    "atom": "http://www.w3.org/2005/Atom",
    "psc": "http://podlove.org/simple-chapters",
}
CHANNEL = """<title>Generated show</title><link>https://example.org/</link><language>fr-CA</language>
<atom:link rel="self" href="https://feeds.example.org/show.xml"/><atom:link rel="hub" href="https://hub.example.org/"/>
<copyright>2026 Example</copyright><ttl>60</ttl><itunes:author>Alice Example</itunes:author>
<itunes:type>episodic</itunes:type><itunes:explicit>false</itunes:explicit>
<itunes:image href="https://img.example.org/show.jpg"/><itunes:category text="Technology"/>
<podcast:locked owner="alice@example.org">yes</podcast:locked>
<podcast:funding url="https://example.org/give">Support the show</podcast:funding>"""


def feed(episodes: int, words: int) -> bytes:
    """Return a feed of so many episodes, whose notes have about so many words each."""
    chance = random.Random(episodes)
    spaces = " ".join(f'xmlns:{prefix}="{uri}"' for prefix, uri in NAMESPACES.items())
    items = "\n".join(_item(chance, number, episodes - number, words) for number in range(episodes))
    text = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<rss version="2.0" {spaces}><channel>\n{CHANNEL}\n{items}\n'
    )
    return f"{text}</channel></rss>\n".encode()


def _item(chance: random.Random, number: int, episode: int, words: int) -> str:
    at = NEWEST - timedelta(days=3 * number, minutes=chance.randrange(600))
    seconds = chance.randrange(300, 9_000)
    guid = UUID(int=chance.getrandbits(128))
    title = escape(_words(chance, 6).capitalize() + (" & <more>" if number % 17 == 0 else ""))
    link = f'<a href="https://example.org/{number}?a=1&b=2">{_words(chance, 4)}</a>'
    notes = f"<p>{_words(chance, words // 2)}</p><ul><li>{link}</li></ul><p>{_words(chance, words // 2)}</p>"
    content = f"<content:encoded><![CDATA[{notes}]]></content:encoded>" if number % 2 == 0 else ""
    return f"""<item><title>{title}</title><itunes:title>{title}</itunes:title>
<guid isPermaLink="false">{guid}</guid><link>https://example.org/e/{number}</link>
<pubDate>{format_datetime(at)}</pubDate><description><![CDATA[{notes}]]></description>{content}
<itunes:summary>{_words(chance, 12)}</itunes:summary><itunes:subtitle>{_words(chance, 5)}</itunes:subtitle>
<enclosure url="https://cdn.example.org/{guid}.mp3?x=1&amp;y=2" length="{seconds}" type="audio/mpeg"/>
<itunes:duration>{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}</itunes:duration>
<itunes:explicit>false</itunes:explicit><itunes:image href="https://img.example.org/{number}.jpg"/>
<itunes:episode>{episode}</itunes:episode><itunes:season>{1 + episode // 20}</itunes:season>
<itunes:episodeType>full</itunes:episodeType>{_podcast_tags(chance, number, episode, guid)}</item>"""


def _podcast_tags(chance: random.Random, number: int, episode: int, guid: UUID) -> str:
    season = 1 + episode // 20
    tags = f"""<podcast:season name="Part {season}">{season}</podcast:season>
<podcast:episode display="E{episode}">{episode}</podcast:episode>
<podcast:transcript url="https://example.org/t/{number}.vtt" type="text/vtt" language="en"/>
<podcast:transcript url="https://example.org/t/{number}.srt" type="application/srt"/>
<podcast:chapters url="https://example.org/c/{number}.json" type="application/json+chapters"/>
<podcast:person role="host" href="https://example.org/alice">Alice Example</podcast:person>
<podcast:person role="guest">{_words(chance, 2).title()}</podcast:person>
<podcast:soundbite startTime="{number % 200}.0" duration="30.0">{_words(chance, 4)}</podcast:soundbite>"""
    if number % 4 == 0:
        tags += (
            '<podcast:alternateEnclosure type="audio/opus" length="9000" bitrate="48000" title="Low">'
            f'<podcast:source uri="https://cdn.example.org/{guid}.opus"/></podcast:alternateEnclosure>'
            '<podcast:value type="lightning" method="keysend"><podcast:valueRecipient name="host" type="node"'
            ' address="02d5c1bf8b940dc9cadca86d1b0a3c37fbe39cee4c7e839e33bef" split="100"/></podcast:value>'
        )
    return tags


def _words(chance: random.Random, number: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(number))
