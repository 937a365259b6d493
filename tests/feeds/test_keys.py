"""The key that identifies an episode within its feed."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from eventstore.domain.identifiers import guid_key_of, item_of
from feeds.keys import episode_key, item_hash, repeated_guid_key

ENCLOSURE = "https://Example.org:443/a b.mp3#start"
NORMAL = "https://example.org/a%20b.mp3"


@given(st.sampled_from(["", "1", "a,b", "two  words\n", "é"]), st.sampled_from(["", ENCLOSURE, NORMAL]))
def test_an_episode_has_the_key_that_clients_items_lead_to(guid: str, enclosure: str) -> None:
    if guid or enclosure:
        assert UUID(bytes=episode_key(guid, enclosure)) == UUID(guid_key_of(item_of(guid, enclosure)))


def test_a_guid_names_it_whatever_the_enclosure_and_an_enclosure_only_without_one() -> None:
    assert episode_key("1", ENCLOSURE) == episode_key(" 1\n", "")
    assert episode_key("", ENCLOSURE) == episode_key("", NORMAL)
    different = [episode_key("1", ""), episode_key("", NORMAL), repeated_guid_key("1", NORMAL)]
    assert len(set(different)) == 3


def test_a_pair_is_of_its_feed() -> None:
    assert item_hash(7, "1", ENCLOSURE) == item_hash(7, " 1", NORMAL)
    pairs = [(7, "1", NORMAL), (8, "1", NORMAL), (7, "", NORMAL), (7, "1", ""), (71, "", NORMAL)]
    assert len({item_hash(*pair) for pair in pairs}) == len(pairs)


def test_what_no_item_can_hold_has_a_key_all_the_same() -> None:
    assert len(episode_key("a\x00b", "")) == len(episode_key("", "ftp://x")) == 16
    assert len(item_hash(1, "\ud800", "not a URL")) == 16
