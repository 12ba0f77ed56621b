"""Values that the store cannot hold, and the paths that name their places."""

from __future__ import annotations

import json

import pytest

from gateway.ingest.coerce.paths import path_of
from gateway.ingest.coerce.values import quote_large_numbers, repair_json
from gateway.ingest.json_checks import mask_strings


@pytest.mark.parametrize(
    ("sent", "stored", "fields"),
    [
        ('{"n":18446744073709551616}', '{"n":"18446744073709551616"}', ["properties.n"]),
        ('{"n":18446744073709551615}', '{"n":18446744073709551615}', []),
        ('{"n":-9223372036854775809}', '{"n":"-9223372036854775809"}', ["properties.n"]),
        ('{"n":-9223372036854775808}', '{"n":-9223372036854775808}', []),
        ('{"n":[1, 1e999 ,2]}', '{"n":[1, "1e999" ,2]}', ["properties.n[1]"]),
        ('{"n":-1E+400,"m":1.7e308}', '{"n":"-1E+400","m":1.7e308}', ["properties.n"]),
        ('{"n":' + "9" * 400 + ".5}", '{"n":"' + "9" * 400 + '.5"}', ["properties.n"]),
        ('{"n":' + "9" * 5000 + "}", '{"n":"' + "9" * 5000 + '"}', ["properties.n"]),
        ('{"a":"1e999","b\\"":"12345678901234567890123"}', '{"a":"1e999","b\\"":"12345678901234567890123"}', []),
        (
            '{"a":{"b":[{},{"c":100000000000000000000}]},"wei":100000000000000000000}',
            '{"a":{"b":[{},{"c":"100000000000000000000"}]},"wei":"100000000000000000000"}',
            ["properties.a.b[1].c", "properties.wei"],
        ),
        (
            "[" + "1e999," * 9 + "1e999]",
            '["1e999"' + ',"1e999"' * 9 + "]",
            [*[f"properties[{n}]" for n in range(3)], "properties"],
        ),
    ],
)
def test_large_number_becomes_its_text(sent: str, stored: str, fields: list[str]) -> None:
    value, warnings = quote_large_numbers(sent.encode(), mask_strings(sent.encode()), "properties")

    assert value.decode() == stored
    assert [(warning.code, warning.field) for warning in warnings] == [("number_as_text", each) for each in fields]


@pytest.mark.parametrize(
    ("sent", "stored", "warnings"),
    [
        ('{"n":NaN}', '{"n":null}', [("not_a_number", ".n")]),
        ('{"n":[-Infinity, Infinity]}', '{"n":[null, null]}', [("not_a_number", ".n[0]"), ("not_a_number", ".n[1]")]),
        ('{"n":"NaN"}', '{"n":"NaN"}', []),
        ('{"NaN":"\\"NaN"}', '{"NaN":"\\"NaN"}', []),
        ('{"s":"\\ud800"}', '{"s":"\\ufffd"}', [("invalid_unicode", ".s")]),
        ('{"s":"a\\uDC00b"}', '{"s":"a\\ufffdb"}', [("invalid_unicode", ".s")]),
        ('{"s":"\\ud83d\\ude00"}', '{"s":"\\ud83d\\ude00"}', []),
        ('{"s":"\\ud83d\\ud83d\\ude00\\ude00"}', '{"s":"\\ufffd\\ud83d\\ude00\\ufffd"}', [("invalid_unicode", ".s")]),
        ('{"s":"\\\\ud800"}', '{"s":"\\\\ud800"}', []),
        ('{"s":"\\\\\\ud800"}', '{"s":"\\\\\\ufffd"}', [("invalid_unicode", ".s")]),
        ('{"a":{"\\udc00":1}}', '{"a":{"\\ufffd":1}}', [("invalid_unicode", ".a")]),
        ('{"\\udc00":{"b":NaN}}', '{"\\ufffd":{"b":null}}', [("not_a_number", ".\ufffd.b"), ("invalid_unicode", "")]),
    ],
)
def test_text_becomes_strict_json(sent: str, stored: str, warnings: list[tuple[str, str]]) -> None:
    value, found = repair_json(sent.encode(), mask_strings(sent.encode()), "")

    assert value.decode() == stored
    assert [(warning.code, warning.field) for warning in found] == warnings
    json.loads(value)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"a":X}', "f.a"),
        ('{"a":1,"b":{"c":[0,{"d":[[],{}]},X]}}', "f.b.c[2]"),
        ('[[],[1,2],["x,[{",X]]', "f[2][1]"),
        ('{"a,\\"]}":{"\\\\":X}}', 'f.a,"]}.\\'),
        ('{"é\\u00e9":X}', "f.éé"),
        ('{"a":"}","b" :\n X}', "f.b"),
        ('{"":X}', "f."),
        ("X", "f"),
        ('{"a":' * 9 + "X" + "}" * 9, "f" + ".a" * 8),
        ('{"' + "x" * 300 + '":X}', "f." + "x" * 253),
    ],
)
def test_path_names_the_place(text: str, path: str) -> None:
    encoded = text.encode()

    assert path_of(encoded, encoded.index(b"X"), "f") == path
