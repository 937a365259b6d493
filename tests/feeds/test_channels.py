"""What is read about the show itself."""

from tests.feeds.reading import read_all, rss


def test_the_show_is_described() -> None:
    document, _ = read_all(
        rss(
            channel="""<title> A &amp; B </title><link>/</link><description>Short</description>
            <itunes:summary>A longer text</itunes:summary><language>fr-CA</language><copyright>Me</copyright>
            <managingEditor>editor@show.example (Ed)</managingEditor><ttl>60</ttl>
            <image><url>/old.jpg</url><title>Picture</title></image><itunes:image href="/cover.jpg"/>
            <itunes:author>Alice</itunes:author><itunes:type>Serial</itunes:type>
            <itunes:owner><itunes:name>Bob</itunes:name><itunes:email>Bob@Show.example</itunes:email></itunes:owner>
            <itunes:explicit>yes</itunes:explicit><itunes:block>yes</itunes:block>
            <itunes:complete>Yes</itunes:complete><podcast:locked owner="x@y.example">yes</podcast:locked>
            <podcast:guid>9B024349-CCF0-5F69-A609-6B82873EAB3C</podcast:guid>
            <podcast:medium>music</podcast:medium>
            <itunes:category text="News"><itunes:category text="Tech News"/></itunes:category>
            <itunes:category text="Technology"/><itunes:category text="News"/>
            <itunes:new-feed-url>https://new.example/feed</itunes:new-feed-url>
            <atom:link rel="hub" href="https://hub.example/"/><atom:link rel="self" href="/feed.xml"/>"""
        )
    )
    channel = document.channel
    assert (channel.title, channel.author, channel.description) == ("A & B", "Alice", "A longer text")
    assert (channel.link, channel.cover_url) == ("https://show.example/", "https://show.example/cover.jpg")
    assert (channel.language, channel.copyright, channel.kind) == ("fr-CA", "Me", "serial")
    assert (channel.medium, channel.ttl_s, channel.owner_email) == ("music", 3_600, "bob@show.example")
    assert (channel.explicit, channel.blocked, channel.complete, channel.locked) == (True, True, True, True)
    assert channel.podcast_guid == "9b024349-ccf0-5f69-a609-6b82873eab3c"
    assert channel.categories == ["News", "Tech News", "Technology"]
    assert channel.new_feed_url == "https://new.example/feed"
    assert (channel.hub_url, channel.self_url) == ("https://hub.example/", "https://show.example/feed.xml")


def test_what_makes_no_sense_is_left_out() -> None:
    document, _ = read_all(
        rss(
            channel="""<itunes:type>weekly</itunes:type><itunes:explicit>?</itunes:explicit><ttl>-5</ttl>
            <podcast:guid>not-a-uuid</podcast:guid><podcast:medium>&lt;b&gt;</podcast:medium>
            <itunes:new-feed-url>https://show.example/feed.xml</itunes:new-feed-url>
            <itunes:image href="data:image/png;base64,x"/><itunes:block>no</itunes:block>"""
        )
    )
    channel = document.channel
    assert (channel.kind, channel.explicit, channel.ttl_s, channel.podcast_guid) == ("", None, None, "")
    assert (channel.medium, channel.new_feed_url, channel.cover_url, channel.blocked) == ("", "", "", False)


def test_the_longest_time_between_two_fetches_that_is_asked_for_counts() -> None:
    sy = 'xmlns:sy="http://purl.org/rss/1.0/modules/syndication/"'
    for channel, seconds in {
        "<ttl>10</ttl>": 600,
        "<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>2</sy:updateFrequency>": 43_200,
        "<sy:updatePeriod>hourly</sy:updatePeriod><ttl>10</ttl>": 3_600,
        "<sy:updatePeriod>never</sy:updatePeriod>": None,
        "<sy:updatePeriod>daily</sy:updatePeriod><sy:updateFrequency>0</sy:updateFrequency>": None,
    }.items():
        document, _ = read_all(rss(channel=channel, namespaces=sy))
        assert document.channel.ttl_s == seconds, channel


def test_what_is_not_the_channel_itself_does_not_describe_it() -> None:
    document, _ = read_all(
        rss(
            "<title>An item</title><guid>1</guid>",
            channel="<image><title>A picture</title></image><textInput><title>A form</title></textInput>",
        )
    )
    assert document.channel.title == ""
