import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.scopes import SCOPES, InvalidScope, allows, parse

# the scopes that a route may require
NEEDED = [scope for scope in SCOPES if "*" not in scope]
READS = {
    "user.read",
    "user.subscriptions.read",
    "user.plays.read",
    "user.playlists.read",
    "user.collections.read",
    "user.privacy.read",
}
WRITES = {scope.removesuffix(".read") + ".write" for scope in READS}
TOPICS = {"user.subscriptions", "user.plays", "user.playlists", "user.collections", "user.privacy"}
BELOW_USER = READS | WRITES | TOPICS | {"user.sync"}

MATRIX = {
    "*": BELOW_USER | {"user"},
    "*.read": READS,
    "*.write": WRITES,
    "user": BELOW_USER | {"user"},
    "user.*": BELOW_USER,
    "user.*.read": READS,
    "user.*.write": WRITES,
    "user.read": {"user.read"},
    "user.write": {"user.write"},
    "user.sync": {"user.sync"},
    **{topic: {topic, topic + ".read", topic + ".write"} for topic in TOPICS},
    **{half: {half} for half in (READS | WRITES) - {"user.read", "user.write"}},
}


def test_the_matrix_names_every_scope() -> None:
    assert MATRIX.keys() == set(SCOPES)
    assert set(NEEDED) == BELOW_USER | {"user"}


@pytest.mark.parametrize("granted", SCOPES)
def test_a_scope_grants_exactly_what_the_matrix_says(granted: str) -> None:
    assert {needed for needed in NEEDED if allows([granted], needed)} == MATRIX[granted]


@given(st.sets(st.sampled_from(SCOPES)), st.sampled_from(NEEDED))
def test_several_scopes_grant_what_each_of_them_grants(granted: set[str], needed: str) -> None:
    assert allows(granted, needed) == any(needed in MATRIX[scope] for scope in granted)


@given(st.text() | st.sampled_from(["admin", "user.", "", "use", "usery.plays", "user.plays.read.all"]))
def test_what_is_no_scope_grants_nothing_and_is_granted_by_none(text: str) -> None:
    if text not in SCOPES:
        assert not any(allows([text], needed) for needed in NEEDED)
        assert not allows(SCOPES, text)


@given(st.lists(st.sampled_from(SCOPES), min_size=1, max_size=len(SCOPES)))
def test_parsing_gives_each_scope_once_whatever_the_order(asked: list[str]) -> None:
    parsed = parse(asked)
    assert set(parsed) == set(asked)
    assert len(parsed) == len(set(parsed))
    assert parse(asked[::-1]) == parsed == parse(list(parsed))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_parsing_refuses_whatever_else_json_can_hold(value: object) -> None:
    if not isinstance(value, list) or not value or not all(isinstance(v, str) and v in SCOPES for v in value):
        with pytest.raises(InvalidScope) as refusal:
            parse(value)
        assert str(refusal.value).isascii()
        assert str(refusal.value).isprintable()
        assert len(str(refusal.value)) < 120


@pytest.mark.parametrize(
    "scopes",
    [
        "user",
        None,
        {"user": True},
        [],
        [1],
        [None],
        [["user"]],
        [{"user": 1}],
        [""],
        ["*."],
        [".*"],
        ["**"],
        ["evil.*"],
        ["user."],
        [" user"],
        ["user "],
        ["USER"],
        ["user\0"],
        ["user\n"],
        ["＊"],
        ["user.plays.*"],
        ["user.sync.read"],
        ["user", "nonsense"],
        ["user.plays"] * 10_000,
        [f"s{number}" for number in range(10_000)],
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_it_refuses_hostile_scopes(scopes: object) -> None:
    with pytest.raises(InvalidScope):
        parse(scopes)


def test_it_names_the_bad_scope_escaped() -> None:
    with pytest.raises(InvalidScope, match=r"unknown scope '\\u202e<b>\\n'"):
        parse(["user", "\u202e<b>\n"])
