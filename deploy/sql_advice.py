"""What to type in place of a statement that ClickHouse refuses because of a property's type. Pure.

docs/sql.md explains the same under "Where a type is needed".
"""

from __future__ import annotations

import re

_COMPARISON = r"(?:equals|notEquals|less|lessOrEquals|greater|greaterOrEquals)"
_PROPERTY = r"(?:properties|traits)\b"
_OTHERS = "str, bool and at give other types."
_ADVICE = (
    (r"not allowed in ORDER BY keys", f"ORDER BY needs values of one type: ORDER BY num(properties.price). {_OTHERS}"),
    (r"JOIN on keys with Dynamic", "JOIN needs values of one type: ON str(a.properties.plan) = str(b.traits.plan)."),
    (
        r"Dynamic\b.* of function (?:global)?(?:in|notIn|In|NotIn)\b",
        "IN needs values of one type: str(properties.plan) IN ('free', 'pro').",
    ),
    (
        r"filter in \w+: Dynamic|Dynamic\b.*(?:is the condition|\(condition\)|argument of function (?:and|or|xor)\b)",
        "A condition is a boolean: WHERE bool(properties.first).",
    ),
    (
        r"Illegal types? Dynamic.* aggregate function (?P<name>\w+)",
        f"{{name}} needs values of one type: {{name}}(num(properties.price)). {_OTHERS}",
    ),
    (
        r"Illegal type DateTime64.* aggregate function (?P<name>\w+)",
        "{name} takes a time in seconds: {name}(…)(toDateTime(timestamp), …).",
    ),
    (
        rf"(?:Cannot convert string|Cannot parse|does not start with).*FUNCTION .*{_COMPARISON}\(.*{_PROPERTY}",
        "A value of the property is no text. Compare str(properties.plan) = 'pro'.",
    ),
    (
        rf"FUNCTION (?:to[A-Z]\w*|CAST)\(.*{_PROPERTY}",
        "A value of the property cannot be converted. num, str, bool and at return NULL for it: num(properties.price).",
    ),
    (r"Dynamic cannot be inside Nullable", "Give the property a type: nullIf(str(properties.plan), '')."),
    (
        r"ARRAY JOIN requires array|must be an array.*Dynamic",
        "Read an array of a property with JSONExtractArrayRaw(ifNull(str(properties.items), '')).",
    ),
)


def advice(error: str) -> str:
    """Return what to type after ClickHouse's message *error*; empty if a property's type is not the reason."""
    for pattern, text in _ADVICE:
        if found := re.search(pattern, error, re.DOTALL):
            return text.format(**found.groupdict())
    return ""
