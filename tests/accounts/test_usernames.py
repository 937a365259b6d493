"""Which user names may be taken."""

import unicodedata

import pytest
from django.core.exceptions import ValidationError
from hypothesis import example, given
from hypothesis import strategies as st

from accounts.usernames import LONGEST, RESERVED, username_key, username_skeleton, validate_username


@pytest.mark.parametrize(
    "name",
    [
        "Alice",
        "bob_1990",
        "j.r.r",
        "Zoë",
        "Zoe\u0308",
        "Дмитрий",
        "Ελένη",
        "さくら",
        "山田ハナ子x",
        "김철수",
        "अनिता",
        "a-b",
        "007",
    ],
)
def test_it_takes_names_of_many_scripts(name: str) -> None:
    validate_username(name)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "length"),
        ("al", "length"),
        ("a" * 41, "length"),
        ("a" * 1_000_000, "length"),
        ("ﬃ" * 20, "length"),
        ("alice ", "characters"),
        (" alice", "characters"),
        ("al ice", "characters"),
        ("alice\0", "characters"),
        ("alice\n", "characters"),
        ("alice\t", "characters"),
        ("a\ud800b", "characters"),
        ("al\u200bice", "characters"),
        ("al\u202eice", "characters"),
        ("al\u00a0ice", "characters"),
        ("alice\ufeff", "characters"),
        ("al/ice", "characters"),
        ("al\\ice", "characters"),
        ("../etc", "characters"),
        ("a..b", "characters"),
        ("...", "characters"),
        (".alice", "characters"),
        ("alice.", "characters"),
        ("-alice", "characters"),
        ("alice@example.org", "characters"),
        ("<alice>", "characters"),
        ("al%69ce", "characters"),
        ("alice?", "characters"),
        ("😀😀😀", "characters"),
        ("a\u0301\u0301\u0301b", "characters"),
        ("\u0301abc", "characters"),
        ("½½½", "characters"),
        ("ﷺﷺﷺ", "length"),
        ("a\u037ab", "characters"),
        ("аdmin", "scripts"),
        ("аlice", "scripts"),
        ("αlpha", "scripts"),
        ("ааα", "scripts"),
        ("admin", "reserved"),
        ("Admin", "reserved"),
        ("ADMIN", "reserved"),
        ("ａｄｍｉｎ", "reserved"),
        ("ádmïn", "reserved"),
        ("admın", "reserved"),
        ("setup", "reserved"),
        ("api", "reserved"),
        ("арі", "reserved"),
        ("арр", "reserved"),
        ("root", "reserved"),
        ("favicon.ico", "reserved"),
        ("r00t", "reserved"),
        ("adrnin", "reserved"),
    ],
    ids=lambda value: ascii(value)[:30],
)
def test_it_refuses_names_that_deceive(name: str, code: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        validate_username(name)
    assert refusal.value.code == code


@pytest.mark.parametrize("sign", "!@#$%&*()+=|<>?{}[]~")
def test_it_refuses_the_signs_that_podcast_apps_refuse_with_that_reason(sign: str) -> None:
    with pytest.raises(ValidationError, match="Podcast apps refuse") as refusal:
        validate_username(f"ali{sign}ce")
    assert sign in refusal.value.messages[0]


@pytest.mark.parametrize(
    "name", ["alice", "ALICE", "alıce", "alíce", "ålice", "a1ice", "ａｌｉｃｅ", "аⅼісе", "\U0001d41alice"]
)
def test_names_that_look_alike_have_one_skeleton(name: str) -> None:
    assert username_skeleton(name) == username_skeleton("alice")


@pytest.mark.parametrize(
    ("one", "other"),
    [("alice", "alicia"), ("bob", "rob"), ("かき", "がき"), ("कि", "का"), ("listener1", "listener7")],
)
def test_names_that_do_not_have_their_own(one: str, other: str) -> None:
    assert username_skeleton(one) != username_skeleton(other)


@given(st.text(max_size=LONGEST))
def test_any_name_has_a_skeleton_whatever_its_case(name: str) -> None:
    assert username_skeleton(username_key(name)) == username_skeleton(name)


@given(st.text(max_size=60))
@example("\u0345ab")
@example("ǰ\u0323x")
def test_the_key_of_a_key_is_itself(name: str) -> None:
    key = username_key(name)
    assert username_key(key) == key
    assert len(username_key(name[:LONGEST])) <= 3 * LONGEST or not is_valid(name[:LONGEST])


@given(st.text(min_size=3, max_size=LONGEST, alphabet=st.characters(categories=["L", "M", "Nd"])))
def test_every_spelling_of_a_name_has_one_key(name: str) -> None:
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert username_key(unicodedata.normalize(form, name)) == username_key(name)
    assert username_key(name.casefold()) == username_key(name)


@given(st.text(max_size=LONGEST))
def test_whatever_is_taken_is_harmless_in_an_address(name: str) -> None:
    if is_valid(name):
        key = username_key(name)
        assert key.isprintable()
        assert not set(key) & set("/\\ <>\"'&?#%:@")
        assert ".." not in key
        assert key not in RESERVED


def is_valid(name: str) -> bool:
    try:
        validate_username(name)
    except ValidationError:
        return False
    return True
