"""Bad input, as others have collected it: the cases of JSONTestSuite (nst/JSONTestSuite), times, base64."""

from tests.api.devices import b64

# Invalid JSON (n_* of the suite).
NOT_JSON = [
    b"", b" ", b"[1 true]", b"[a\xe5]", b'["": 1]', b'[""],', b"[,1]", b"[1,,2]", b'["x",,]', b'["x"]]',
    b'["",]', b'["x"', b"[x", b"[3[4]]", b"[\xff]", b"[1:2]", b"[,]", b"[-]", b"[   , \"\"]",
    b'["a",\n4\n,1,', b"[1,]", b"[1,,]", b'["\x0ba"\\f]', b"[*]", b'[""', b"[1,", b"[1,\n1\n,1", b"[{}",
    b"[fals]", b"[nul]", b"[tru]", b"[++1234]", b"[+1]", b"[+Inf]", b"[-01]", b"[-1.0.]", b"[-2.]",
    b"[-NaN]", b"[.-1]", b"[.2e-3]", b"[0.1.2]", b"[0.3e+]", b"[0.3e]", b"[0.e1]", b"[0E+]", b"[0E]",
    b"[0e+]", b"[0e]", b"[1.0e+]", b"[1.0e-]", b"[1.0e]", b"[1 000.0]", b"[1eE2]", b"[2.e+3]", b"[2.e-3]",
    b"[9.e+]", b"[Inf]", b"[NaN]", b"[\xef\xbc\x91]", b"[1+2]", b"[0x1]", b"[0x42]", b"[Infinity]",
    b"[0e+-1]", b"[-123.123foo]", b"[123\xe5]", b"[1e1\xe5]", b"[0\xe5]", b"[-Infinity]", b"[-foo]",
    b"[- 1]", b"[-012]", b"[-.123]", b"[-1x]", b"[1ea]", b"[1e\xe5]", b"[1.]", b"[.123]", b"[1.2a-3]",
    b"[1.8011670033376514H-308]", b"[012]", b'["x", truth]', b'{[: "x"}', b'{"x", null}', b'{"x"::"b"}',
    b'{\xf0\x9f\x87\xa8\xf0\x9f\x87\xad}', b'{"a":"a" 123}', b'{key: "value"}', b'{"\xb9":"0",}',
    b'{"a" b}', b'{:"b"}', b'{"a" "b"}', b'{"a":', b'{"a"', b"{1:1}", b"{9999E9999:1}",
    b"{null:null,null:null}", b'{"id":0,,,,,}', b"{'a':0}", b'{"id":0,}', b'{"a":"b"}/**/',
    b'{"a":"b"}/**//', b'{"a":"b"}//', b'{"a":"b"}/', b'{"a":"b",,"c":"d"}', b'{a: "b"}', b'{"a":"a',
    b'{ "foo" : "bar", "a" }', b'{"a":"b"}#', b'["\\uD800\\"]', b'["\\uD800\\u"]', b'["\\uD800\\u1"]',
    b'["\\uD800\\u1x"]', b"[\xc3\xa9]", b'["\\\x00"]', b'["\\\\\\"]', b'["\\x00"]', b'["\\\t"]',
    b'["\\\xf0\x9f\x8c\x80"]', b'["\\"]', b'["\\u00A"]', b'["\\uD834\\uDd"]', b'["\\uD800\\uD800\\x"]',
    b'["\\u\xe5"]', b'["\\a"]', b'["\\uqqqq"]', b'["\\\xe5"]', b"[\\u0020\"asd\"]", b"[\\n]", b'"',
    b"['single quote']", b"abc", b'["\\', b'["a\x00a"]', b'["new\nline"]', b'["\t"]', b'"\\UA66D"',
    b'""x', b"<.>", b"[<null>]", b"[1]x", b"[1]]", b'["asd]', b"a\xc3\xa5", b"[True]", b"1]",
    b'{"x": true,', b"[][]", b"]", b"\xef\xbb{}", b"\xe5", b"[", b"", b"2@", b'{"":', b"{}}", b'{"":"',
    b'["\x80"]', b"[{\"\":[{\"\":", b"[" * 100_000, b'[{"":' * 50_000, b"{[", b'["a', b'["\\{["\\{["\\{',
    b"{", b"{]", b"{,", b'{"a', b"{'a'", b'["\\{["\\{["\\{["\\{', b"*", b'{"a":"b"}#{}', b"[\\u000A\"\"]",
    b"[1", b"[ false, nul", b"[ true, fals", b'{"asd":"asd"', b"\xc3\xa5", b"\xef\xbb\xbf", b"[\x0c]",
    b"\xe2\x81\xa0", b"[\xe2\x81\xa0]", b"\xff\xfe{\x00}\x00",
]  # fmt: skip

# Valid JSON, or what some parsers accept (y_* and i_*), but no body that the API takes.
ODD_JSON = [
    b"[[]   ]", b'[""]', b"[]", b'["a"]', b"[false]", b'[null, 1, "1", {}]', b"[null]", b"[1\n]", b" [1]",
    b"[1,null,null,null,2]", b"[2] ", b"[123e65]", b"[0e+1]", b"[0e1]", b"[ 4]", b"[-0.00000000000000001]",
    b"[20e1]", b"[-0]", b"[-123]", b"[-1]", b"[1E22]", b"[1E-2]", b"[1E+2]", b"[123e45]", b"[123.456e78]",
    b"[1e-2]", b"[1e+2]", b"[123]", b"[123.456789]", b'{"asd":"sdf", "dfg":"fgh"}', b'{"asd":"sdf"}',
    b'{"a":"b","a":"c"}', b'{"a":"b","a":"b"}', b"{}", b'{"":0}', b'{"min": -1.0e+28}',
    b'{"x":[{"id": "xxxx"}], "id": "x"}', b'{"a":[]}', b'{"title":"\\u041f\\u043e\\u043b"}',
    b'{\n"a": "b"\n}', b'["\\u0060\\u012a\\u12AB"]', b'["\\uD801\\udc37"]', b'["\\"\\\\\\/\\b\\f\\n\\r\\t"]',
    b'["\\\\u0000"]', b'["a/*b*/c/*d//e"]', b'["\\uFFFF"]', b'["\xef\xbf\xbf"]', b'["\\uDBFF\\uDFFF"]',
    b'["new\\u00A0line"]', b'["\xf4\x8f\xbf\xbf"]', b'["\\u0022"]', b'["a\x7fa"]', b"42", b"-0.1", b"null",
    b'"asd"', b"true", b'""', b"[123.456e-789]", b"[0.4e006699999999999999999999999999999999999999999]",
    b"[-1e+9999]", b"[1.5e+9999]", b"[-123123123123123123123123123123]", b"[100000000000000000000]",
    b"[" * 500 + b"]" * 500, b"9" * 5_000, b"-1e400",
]  # fmt: skip

# Half of a surrogate pair, or U+0000, in any place.
BAD_CHARACTERS = [
    b'{"x": "\\ud800"}', b'{"\\ud800": 1}', b'{"x": ["\\udc00\\ud800"]}', b'{"x": "\\ud800abc"}',
    b'{"x": "\xed\xa0\x80"}', b'{"x": "\xff"}', b'{"\xc0\x80": 1}', b'{"x": "\\u0000"}', b'{"a\\u0000": 1}',
    b'{"x": {"y": ["\\u0000"]}}', b'{"x": "\\\\\\u0000"}', b'{"x": "a\x00"}', b'{"x": "\\ud834\\u0041"}',
]  # fmt: skip

BAD_TIMES = [
    "", " ", "now", "0", "1700000000", "2024-01-01", "20240101T000000Z", "2024-W01-1T00:00:00Z",
    "2024-001T00:00:00Z", "2024-01-01T00:00:00", "2024-01-01T00:00Z", "2024-01-01T24:00:00Z",
    "2024-01-01T00:00:61Z", "2016-12-31T23:60:60Z", "2024-02-30T00:00:00Z", "2023-02-29T00:00:00Z",
    "2024-13-01T00:00:00Z", "2024-00-01T00:00:00Z", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
    "-001-01-01T00:00:00Z", "2024-01-01T00:00:00+24:00", "2024-01-01T00:00:00+02", "2024-01-01T00:00:00 Z",
    "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00,5Z", " 2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z\n",
    "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "9999-12-31T23:59:59.9999999Z",
    "２０24-01-01T00:00:00Z", "2024-01-01T00:00:00Ｚ", "2024-01-01T00:00:00z\x85",
]  # fmt: skip

GOOD_TIMES = {
    "2024-01-01T00:00:00Z": "2024-01-01T00:00:00Z",
    # second 60 becomes the last microsecond of its minute
    "2016-12-31T23:59:60Z": "2016-12-31T23:59:59.999999Z",
    "2024-01-01T00:00:60.5Z": "2024-01-01T00:00:59.999999Z",
    "2024-01-01t00:00:00z": "2024-01-01T00:00:00Z",
    "2024-01-01 00:00:00Z": "2024-01-01T00:00:00Z",
    "2024-01-01T00:00:00-00:00": "2024-01-01T00:00:00Z",
    "2024-01-01T01:00:00+01:00": "2024-01-01T00:00:00Z",
    "2024-02-29T23:59:59.999999-23:59": "2024-03-01T23:58:59.999999Z",
    "2024-01-01T00:00:00.1Z": "2024-01-01T00:00:00.100000Z",
    "2024-01-01T00:00:00.123456789Z": "2024-01-01T00:00:00.123457Z",
    "2024-01-01T00:00:60Z": "2024-01-01T00:00:59.999999Z",
    "2016-12-31T23:59:60.5+00:00": "2016-12-31T23:59:59.999999Z",
    "0001-01-01T00:00:00Z": "0001-01-01T00:00:00Z",
    "1583-10-15T12:00:00+00:00": "1583-10-15T12:00:00Z",
}

BAD_POSITIONS: list[object] = [
    True, False, "12", "", 1.0, 1.5, -1, 2**31, 2**63, 2**64, 10**30, None, [], {}, [1],
]  # fmt: skip
# as they appear in the body, since Python would not write them like this
BAD_NUMBERS = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e400", b"9" * 5_000, b"1E2", b"0x10", b"010"]

BAD_FEEDS: list[object] = [
    "", " ", "=", "====", "a", "*", "aHR0cHM6Ly9leGFtcGxlLm9yZy8\n", "aHR0 cHM6",
    "aHR0cHM6Ly9leGFtcGxlLm9yZw=",
    b64("example.org/feed"), b64("ftp://example.org/"), b64("https://"), b64("https:///feed"),
    b64("javascript:alert(1)"), b64("https://alice:secret@example.org/"), b64("https://example.org/\na"),
    b64("https://example.org/\x00"), b64("https://example.org:99999/"), b64("https://exa mple.org/"),
    b64("https://example.org/" + "a" * 2_048), "A" * 20_000, "aHR0+cHM6-", "é", 7, None, [], {}, True,
]  # fmt: skip

BAD_ITEMS: list[object] = [
    "", "*", b64(","), b64("guid"), b64("guid,ftp://example.org/"), b64("g\x00,https://example.org/"),
    b64("g,https://example.org/" + "a" * 4_096), "A" * 20_000, "/w==", 7, None, [], True,
]  # fmt: skip


def four_spellings(name: str) -> list[str]:
    """Return the name in standard and URL-safe base64, each with and without padding."""
    safe = name.replace("+", "-").replace("/", "_")
    return [name, name.rstrip("="), safe, safe.rstrip("=")]


# its base64 has "+", "/" and padding, so that all four spellings differ
AWKWARD_URL = "https://example.org/~aa?~"
AWKWARD_FEED = b64(AWKWARD_URL)
