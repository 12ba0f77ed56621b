"""Strategies for JSON text: mostly valid, with every oddity that a rule covers."""

from __future__ import annotations

from hypothesis import strategies as st

VALID = {
    "type": ['"track"', '"identify"'],
    "userId": ['"u"', '"' + "é" * 255 + '"'],
    "event": ['"Order Completed"', '"' + "😀" * 255 + '"'],
    "messageId": ['"5e123e45-6e78-4a9b-8c1d-2e999f0a1b2c"', '"node-next-1769903999950-' + "a" * 27 + '"', "null"],
    "timestamp": ['"2026-01-31T12:00:00.123Z"', '"2026-01-31"', '"2026-01-31 12:00:00+01:00"', "null"],
    "originalTimestamp": ['"2026-01-31T11:00:00.123456Z"', "null"],
    "sentAt": ['"2026-01-31T12:00:01.000Z"', '"no time"', '"2020-01-01"', "null"],
    "anonymousId": ["null", '"a"'],
    "properties": ["{}", "null", '{"price": 19.99, "ok":true,"n":[1,{"a":"]}{"}]}', '{"d":1,"d":2}', '{"id":"5e123"}'],
    "traits": ["{}", "null", '{"plan":"pro","gone":null}'],
    "context": ['{"library":{"name":"x","version":"1.0"}}', "null"],
    "integrations": ['{"All":true}', "{}"],
    "unknown": ["1", "null", "[[]]"],
}
ODD = [
    *("null", "true", "0", "-0", "1", '"x"', '""', '" \\t"', "[]", "[1]", "{}", '{"a":1}', '{"a.b":1,"a":{"b":2}}'),
    *("1e5", "-1.5E+2", "1e308", "1e309", "-1E+400", "1e0000000001", "1e-999", "0.1234567890123456789012345"),
    *("9223372036854775808", "-9223372036854775808", "-9223372036854775809"),
    *("18446744073709551615", "18446744073709551616", "1" + "0" * 400, "1" + "0" * 400 + ".5", "1" + "0" * 5000),
    *('"4e999"', '"x 4e999,"', '"12345678901234567890"', '"track"', '"page"', '"2026-01-31T24:00:00.000Z"'),
    *('"a\\u0000b"', '"\\\\u0000"', '{"k":"\\u0000"}', '"\\ud83d\\ude00"', '"\\u00e9"', '"é"', '"\\/\\"\\n"'),
    *('"\\ud800"', '"\\ude00x"', '"\\ud800\\ud800"', '{"\\udfff":1}', '{"a":["\\ud83d"]}'),
    *("NaN", "Infinity", "-Infinity", '{"a":NaN}', '{"a":[{"b":-Infinity}]}', '{"a":1e999}'),
    *('"' + "x" * 255 + '"', '"' + "x" * 256 + '"', '"' + "é" * 256 + '"', '"[[[[[[[[[[{{{{{{{{{{}}]]"'),
    *("[" * 31 + "]" * 31, "[" * 32 + "]" * 32, "[" * 33 + "]" * 33, "[" * 2000 + "]" * 2000),
    *(
        '{"a":' * 31 + "{}" + "}" * 31,
        '{"a":' * 32 + "{}" + "}" * 32,
        '{"a":[' * 16 + "]}" * 16,
        "[" + "[]," * 50 + "1]",
    ),
    *('{"a":' * 1500 + '"[{\\"]"' + "}" * 1500, '{"x":"' + "y" * 33_000 + '"}'),
]
ODD += [
    opening * levels + "{}" + closing * levels
    for levels in (15, 31, 32)
    for opening, closing in (
        ('{"a":"}","b":', ',"c":"{"}'),
        ('{"a":"\\"}\\"","b":', ',"c":"\\"{\\""}'),
        ('["[",', ',"]"]'),
    )
]
BROKEN = [
    *("", "tru", "nulls", "01", "-", "+1", ".5", "1.", "1e", "0x1", "'a'", '"', '"\\x"', '"\\u12"', '"\x01"', '"\n"'),
    *(
        "[",
        "]",
        "{",
        "}",
        "[1,]",
        "[,]",
        '{"a"}',
        '{"a":}',
        '{"a":1,}',
        "{1:2}",
        "{,}",
        "[1 2]",
        "{}x",
        "//",
        "\x0c",
        "\ufeff",
    ),
    *("[" * 2000, "[" * 2000 + "}" * 2000, '{"a":' * 1500 + '"' + "}" * 1500),
]

REQUIRED = ("type", "userId", "event")

_spaces = st.sampled_from(["", "", "", " ", "\n\t", "\r "])
_names = st.sampled_from([*VALID, "batch", "writeKey", "propert\\u0069es", "\\u0074ype", "", "\\ud800"])


def values(*, broken: bool = False) -> st.SearchStrategy[str]:
    """Return texts of odd values; *broken* adds texts that are not JSON."""
    numbers = st.integers(-(2**70), 2**70).map(str) | st.floats(allow_nan=False, allow_infinity=False).map(repr)
    return st.one_of(st.sampled_from(ODD), numbers, *([st.sampled_from(BROKEN)] if broken else []))


@st.composite
def items(draw: st.DrawFn, *, broken: bool = False) -> str:
    """Return the text of a valid item with up to two odd members."""
    optional = draw(
        st.lists(st.sampled_from([name for name in VALID if name not in REQUIRED]), unique=True, max_size=5)
    )
    members = [(name, draw(st.sampled_from(VALID[name]))) for name in (*REQUIRED, *optional)]
    members += draw(st.lists(st.tuples(_names, values(broken=broken)), max_size=2))
    return draw(_object(draw(st.permutations(members))))


@st.composite
def bodies(draw: st.DrawFn, *, broken: bool = False) -> str:
    """Return the text of a batch with up to two odd members beside `batch`."""
    elements = draw(st.lists(items(broken=broken) | values(broken=broken), max_size=4))
    joint = draw(_spaces) + "," + draw(_spaces)
    members = [("batch", f"[{draw(_spaces)}{joint.join(elements)}{draw(_spaces)}]")]
    members += [("sentAt", value) for value in draw(st.lists(st.sampled_from(VALID["sentAt"]), max_size=1))]
    members += draw(st.lists(st.tuples(_names, values(broken=broken)), max_size=2))
    return draw(_spaces) + draw(_object(draw(st.permutations(members)))) + draw(_spaces)


@st.composite
def _object(draw: st.DrawFn, members: list[tuple[str, str]]) -> str:
    joint, colon = (f"{draw(_spaces)}{sign}{draw(_spaces)}" for sign in ",:")
    inside = joint.join(f'"{name}"{colon}{value}' for name, value in members)
    return f"{{{draw(_spaces)}{inside}{draw(_spaces)}}}"
