"""What is read from an item: its GUID, its enclosure, its texts, and its tags of the podcast namespace."""

from datetime import UTC, datetime

from eventstore.domain.identifiers import key_of, normalise_guid
from tests.feeds.reading import read_all, read_item, rss

FILE = '<enclosure url="https://cdn.example/1.mp3" length="5" type="audio/mpeg"/>'
ITUNES = "http://www.itunes.com/dtds/podcast-1.0.dtd"


def test_a_guid_is_kept_as_it_is_written() -> None:
    for written, guid in {
        "<guid>tag:x,2020:1</guid>": "tag:x,2020:1",
        "<guid>  two\n words </guid>": "two words",
        "<guid>episode/1</guid>": "episode/1",
        '<guid isPermaLink="true">./1</guid>': "./1",
        "<guid>first</guid><guid>second</guid>": "first",
        "<guid> </guid>": "",
        "": "",
        "<guid><![CDATA[a&b]]></guid>": "a&b",
        f"<guid>{'é' * 1_024}</guid>": "é" * 1_024,
        f"<guid>{'é' * 1_025}</guid>": key_of("é" * 1_025),
        f"<guid>{'x' * 100_000}</guid>": key_of("x" * 100_000),
    }.items():
        episode = read_item(written + FILE)
        assert episode.guid == guid, written[:50]
        assert normalise_guid(episode.guid) == guid
    document, _ = read_all(rss(f"<guid>{'x' * 2_049}</guid>"))
    assert document.warnings == ["guid_too_long"]


def test_an_item_that_nothing_names_is_left_out() -> None:
    document, episodes = read_all(rss(*["<title>Words</title>"] * 10_001, FILE))
    assert (document.episode_count, len(episodes)) == (1, 1)
    assert document.warnings == ["items_without_name"]
    assert not document.recovered


def test_of_several_enclosures_the_first_audio_is_the_one() -> None:
    def enclosure(url: str, kind: str = "") -> str:
        return f'<enclosure url="{url}" type="{kind}"/>'

    picture, film, sound = "https://a.example/p.jpg", "https://a.example/f.mp4", "https://a.example/s.mp3"
    typed = enclosure(picture, "image/jpeg") + enclosure(film, "video/mp4")
    for written, url in (
        ("<guid>1</guid>", ""),
        (typed + enclosure(sound, "audio/mpeg"), sound),
        (enclosure(picture) + enclosure(film) + enclosure(sound), sound),
        (typed, film),
        (enclosure(picture, "image/jpeg"), picture),
        ("".join(enclosure(f"https://a.example/{number}.mp3") for number in range(50)), "https://a.example/0.mp3"),
        (enclosure("ftp://a.example/s.mp3") + enclosure("javascript:alert(1)") + enclosure(sound), sound),
        ("<guid>1</guid>" + enclosure("javascript:alert(1)"), ""),
        (enclosure("https://a.example/my show.mp3"), "https://a.example/my%20show.mp3"),
        (enclosure("one.mp3"), "https://show.example/one.mp3"),
        (f'<media:content url="{sound}" type="audio/mpeg" fileSize="7"/>', sound),
        (f'<media:group><media:content url="{film}"/><media:content url="{sound}"/></media:group>', sound),
        (f'<guid>1</guid><media:content url="{picture}" medium="image"/>', ""),
        (f'<atom:link rel="enclosure" href="{sound}" type="audio/mpeg" length="7"/>', sound),
    ):  # fmt: skip
        assert read_item(written).enclosure_url == url, written[:100]
    for url in ("javascript:alert(1)", "https://a]b/1", "https://\u2100.example/1"):
        document, _ = read_all(rss("<guid>1</guid>" + f'<enclosure url="{url}"/>'))
        assert document.warnings == ["enclosure_refused"], url


def test_the_length_of_an_enclosure_is_a_number_or_not_told() -> None:
    lengths = {"5": 5, "0": 0, str(2**53): 2**53, str(2**53 + 1): -1, "-7": -1, "5 MB": -1, "": -1}
    for written, length in lengths.items():
        item = f'<enclosure url="https://a.example/1.mp3" length="{written}"/>'
        assert read_item(item).enclosure_length == length, written


def test_relative_addresses_are_resolved_against_xml_base_then_the_address_of_the_feed() -> None:
    based = rss(
        '<enclosure url="1.mp3" xml:base="https://cdn.example/a/"/>',
        '<enclosure url="2.mp3"/><link>page</link>',
        channel='<title>x</title><itunes:image href="/cover.jpg"/>',
    ).replace(b"<channel>", b'<channel xml:base="https://base.example/show/">')
    document, (first, second) = read_all(based)
    assert document.channel.cover_url == "https://base.example/cover.jpg"
    assert first.enclosure_url == "https://cdn.example/a/1.mp3"
    assert (second.enclosure_url, second.link) == (
        "https://base.example/show/2.mp3",
        "https://base.example/show/page",
    )
    hostile = rss('<guid>1</guid><enclosure url="2.mp3"/>').replace(b"<rss", b'<rss xml:base="javascript:x"')
    _, (episode,) = read_all(hostile)
    assert episode.enclosure_url == "https://show.example/2.mp3"


def test_an_address_that_is_too_long_is_left_out_with_a_warning() -> None:
    long = "https://a.example/" + "x" * 1_983
    document, (episode,) = read_all(rss(f'<guid>1</guid><enclosure url="{long}"/><link>{long[:-1]}</link>'))
    assert (episode.enclosure_url, len(episode.link)) == ("", 2_000)
    assert "url_too_long" in document.warnings


def test_the_richest_description_is_kept_as_it_came() -> None:
    rich = "<p>Words &amp; <b>more</b> words</p>"
    item = (
        f"<description>Words</description><itunes:summary>Few words</itunes:summary>{FILE}"
        f"<content:encoded><![CDATA[ {rich} ]]></content:encoded>"
    )
    assert read_item(item).description == rich
    assert read_item(f"<itunes:summary>Summary</itunes:summary>{FILE}").description == "Summary"
    assert read_item(f"<description>a <i>b</i> c</description>{FILE}").description == "a <i>b</i> c"


def test_texts_over_their_limits_are_cut_with_a_warning() -> None:
    document, (episode,) = read_all(
        rss(f"<title>{'t' * 1_001}</title><description>{'é' * 140_000}</description>{FILE}")
    )
    assert (len(episode.title), len(episode.description.encode())) == (1_000, 256 * 1024)
    assert document.warnings == ["title_cut", "description_cut"]


def test_texts_are_in_one_normal_form() -> None:
    assert read_item(f"<title> Cafe\u0301 </title>{FILE}").title == "Café"


def test_the_title_may_be_the_one_of_itunes() -> None:
    assert read_item(f"<itunes:title>B</itunes:title><title>A</title>{FILE}").title == "A"
    assert read_item(f"<itunes:title>B</itunes:title>{FILE}").title == "B"
    assert read_item(FILE).title == ""


def test_the_date_is_the_first_that_is_one() -> None:
    noon = datetime(2020, 10, 9, 12, tzinfo=UTC)
    good, bad = "Fri, 09 Oct 2020 12:00:00 GMT", "Fri, 99 Oct 2020"
    assert read_item(f"<pubDate>{good}</pubDate>{FILE}").published_at == noon
    assert (
        read_item(f"<pubDate>{bad}</pubDate><dc:date>2020-10-09T12:00Z</dc:date>{FILE}").published_at == noon
    )
    assert read_item(f"<pubDate>{bad}</pubDate>{FILE}").published_at is None


def test_numbers_and_words_of_itunes_are_read() -> None:
    episode = read_item(
        "<itunes:duration>1:00:01</itunes:duration><itunes:season>2</itunes:season>"
        "<itunes:episode>7</itunes:episode><itunes:episodeType>Bonus</itunes:episodeType>"
        "<itunes:explicit>clean</itunes:explicit><itunes:block>Yes</itunes:block>"
        f'<itunes:image href="https://a.example/1.jpg"/>{FILE}'
    )
    assert (episode.duration, episode.season, episode.number, episode.kind) == (3_601, 2, 7, "bonus")
    assert (episode.explicit, episode.blocked, episode.image_url) == (False, True, "https://a.example/1.jpg")
    odd = read_item(
        f"<itunes:episodeType>special</itunes:episodeType><itunes:season>II</itunes:season>{FILE}"
    )
    assert (odd.kind, odd.season, odd.explicit, odd.blocked) == ("", None, None, False)


def test_season_and_episode_may_be_those_of_the_podcast_namespace() -> None:
    episode = read_item(
        '<podcast:season name="Egypt">3</podcast:season>'
        f'<podcast:episode display="Ch.3">3.5</podcast:episode>{FILE}'
    )
    assert (episode.season, episode.number) == (3, None)
    assert episode.extra == {
        "season": [{"name": "Egypt", "text": "3"}],
        "episode": [{"display": "Ch.3", "text": "3.5"}],
    }


def test_the_namespace_of_itunes_is_known_in_all_its_spellings() -> None:
    for uri in (
        ITUNES,
        "https://www.itunes.com/dtds/podcast-1.0.dtd",
        "http://www.itunes.com/DTDs/Podcast-1.0.dtd",
        "http://www.itunes.com/dtds/podcast-1.0.dtd/",
        "http://itunes.com/dtds/podcast-1.0.dtd",
        "http://example.com/DTDs/PodCast-1.0.dtd",
    ):
        body = rss(f"<x:duration>9</x:duration>{FILE}", namespaces=f'xmlns:x="{uri}"')
        _, (episode,) = read_all(body)
        assert episode.duration == 9, uri
    _, (episode,) = read_all(rss(f"<x:duration>9</x:duration>{FILE}", namespaces='xmlns:x="urn:x"'))
    assert episode.duration is None


def test_prefixes_that_nobody_declared_are_what_they_usually_are() -> None:
    body = rss(
        f"<itunes:duration>9</itunes:duration><dc:date>2020-10-09</dc:date>"
        f'<podcast:person role="host">Alice</podcast:person><other:duration>5</other:duration>{FILE}',
        namespaces="",
    )
    document, (episode,) = read_all(body)
    assert (episode.duration, episode.published_at) == (9, datetime(2020, 10, 9, tzinfo=UTC))
    assert episode.extra == {"person": [{"role": "host", "text": "Alice"}]}
    assert (document.recovered, document.warnings) == (True, ["not_well_formed"])


def test_an_entry_of_atom_is_an_episode() -> None:
    for namespace in ('xmlns="http://www.w3.org/2005/Atom"', 'xmlns="http://purl.org/atom/ns#"', ""):
        body = f"""<feed {namespace}><title>A show</title><author><name>Alice</name></author>
            <subtitle>About it</subtitle><link href="https://show.example/"/><logo>/logo.png</logo><entry>
            <id>urn:1</id><title type="html">A &amp;lt;b&amp;gt; &lt;b&gt;c&lt;/b&gt;</title>
            <link rel="enclosure" href="/1.mp3" type="audio/mpeg" length="9"/><link href="/1"/>
            <updated>2020-10-09T12:00:00Z</updated><published>2020-10-08T12:00:00Z</published>
            <content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml">Some <b>words</b></div></content>
            </entry></feed>""".encode()
        document, (episode,) = read_all(body)
        channel = document.channel
        assert (channel.title, channel.author, channel.description) == ("A show", "Alice", "About it")
        assert (channel.link, channel.cover_url) == ("https://show.example/", "https://show.example/logo.png")
        assert (episode.guid, episode.title, episode.link) == ("urn:1", "A <b> c", "https://show.example/1")
        assert (episode.enclosure_url, episode.enclosure_length) == ("https://show.example/1.mp3", 9)
        assert episode.published_at == datetime(2020, 10, 8, 12, tzinfo=UTC)
        assert "Some <b>words</b>" in episode.description.replace("html:", "")


def test_simple_chapters_are_kept() -> None:
    chapters = "".join(f'<psc:chapter start="0:{number}" title="{number}"/>' for number in range(501))
    document, (episode,) = read_all(rss(f"<psc:chapters>{chapters}</psc:chapters>{FILE}"))
    assert document.warnings == ["chapters_cut"]
    (kept,) = episode.extra["pscChapters"]
    assert len(kept["chapter"]) == 500
    one = '<psc:chapter start="0:01" title="A" href="page" image="javascript:x" other="1"/>'
    bad = '<psc:chapter start="soon" title="B"/><psc:chapter title="C"/>'
    episode = read_item(f"<psc:chapters>{one}{bad}</psc:chapters>{FILE}")
    assert episode.extra["pscChapters"] == [
        {"version": "1.2", "chapter": [{"start": "0:01", "title": "A", "href": "https://show.example/page"}]}
    ]


def test_of_the_podcast_namespace_known_attributes_are_kept_and_addresses_are_checked() -> None:
    episode = read_item(
        '<podcast:transcript url="/1.vtt" type="text/vtt" onclick="x"/><podcast:transcript type="text/vtt"/>'
        '<podcast:transcript url="javascript:x"/>'
        '<podcast:person img="ftp://x/1" href="/a">Bob</podcast:person>'
        '<podcast:alternateEnclosure type="audio/opus"><podcast:source uri="ipfs://1"/>'
        '<podcast:source uri="/1.opus"/></podcast:alternateEnclosure>'
        '<podcast:unheard a="1">x</podcast:unheard>'
        f'<podcast:images srcset="/a.jpg 100w, javascript:x 200w, https://a.example/b.jpg 300w"/>{FILE}'
    )
    assert episode.extra == {
        "transcript": [{"url": "https://show.example/1.vtt", "type": "text/vtt"}],
        "person": [{"href": "https://show.example/a", "text": "Bob"}],
        "alternateEnclosure": [{"type": "audio/opus", "source": [{"uri": "https://show.example/1.opus"}]}],
        "images": [{"srcset": "https://show.example/a.jpg 100w, https://a.example/b.jpg 300w"}],
    }


def test_what_is_too_much_of_the_podcast_namespace_is_cut_from_its_end() -> None:
    people = "".join(f"<podcast:person>{number:05}{'x' * 100}</podcast:person>" for number in range(1_000))
    document, (episode,) = read_all(rss(people + FILE))
    assert document.warnings == ["extra_cut"]
    assert 200 < len(episode.extra["person"]) < 300
    assert episode.extra["person"][0]["text"].startswith("00000")


def test_a_live_item_is_an_episode_once_it_has_ended_and_can_be_played() -> None:
    def live(status: str, inside: str = FILE) -> bytes:
        item = f'<podcast:liveItem status="{status}" start="2021-09-26T07:30:00Z"><guid>live</guid>{inside}'
        return rss("<guid>1</guid>", channel=f"<title>x</title>{item}</podcast:liveItem>")

    document, episodes = read_all(live("ended"))
    assert [episode.guid for episode in episodes] == ["live", "1"]
    assert document.channel.extra == {}
    for body in (live("live"), live("pending"), live("ended", "")):
        document, episodes = read_all(body)
        assert [episode.guid for episode in episodes] == ["1"]
        assert document.channel.extra["liveItem"][0]["guid"] == [{"text": "live"}]
