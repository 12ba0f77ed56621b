"""Times in every form that senders use, and what means no time."""

# The digits of other scripts are the subject.
# ruff: noqa: RUF001

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from gateway.ingest.coerce.times import item_time, sent_time
from schemas.items import ItemWarning, WarningCode
from schemas.times import EARLIEST, format_time, parse_time

FIVE_PM = "2026-06-05T10:48:29.000000Z"
HALF_PAST = "2026-06-05T10:48:29.500000Z"
OTHER_FORMS = [
    (1780656509, FIVE_PM),
    (1780656509000, FIVE_PM),
    (1780656509500, HALF_PAST),
    (1780656509500000, HALF_PAST),
    (1780656509500000000, HALF_PAST),
    (1780656509.5, HALF_PAST),
    (1780656509500.25, "2026-06-05T10:48:29.500250Z"),
    (1.7806565095e9, HALF_PAST),
    ("1780656509", FIVE_PM),
    ("1780656509500", HALF_PAST),
    ("1780656509.5", HALF_PAST),
    ("1.7806565095E9", HALF_PAST),
    (31536000, "1971-01-01T00:00:00.000000Z"),
    (9214646399, "2261-12-31T23:59:59.000000Z"),
    ("Fri, 05 Jun 2026 10:48:29 +0000", FIVE_PM),
    ("Fri, 05 Jun 2026 10:48:29 GMT", FIVE_PM),
    ("5 Jun 2026 12:48:29 +0200", FIVE_PM),
    ("Friday", None),
    ("2026-06-05 10:48:29 +0000", FIVE_PM),
    ("2026-06-05 10:48:29 UTC", FIVE_PM),
    ("2026-06-05T10:48:29.5UTC", HALF_PAST),
    ("2026-06-05T13:48:29.5GMT+03:00", HALF_PAST),
    ("2026-06-05T03:48:29.500-07:00[America/Los_Angeles]", HALF_PAST),
    ("2026-06-05T10:48:29Z[UTC]", FIVE_PM),
    ("20260605T104829Z", FIVE_PM),
    ("20260605T124829+0200", FIVE_PM),
    ("20260605104829", FIVE_PM),
    ("20260605", "2026-06-05T00:00:00.000000Z"),
    (20260605, "2026-06-05T00:00:00.000000Z"),
    ("٢٠٢٦-٠٦-٠٥T١٠:٤٨:٢٩.٥٠٠Z", HALF_PAST),
    ("\u200f٢٠٢٦-٠٦-٠٥T١٠:٤٨:٢٩٫٥٠٠Z", HALF_PAST),
    ("２０２６-０６-０５T10:48:29Z", FIVE_PM),
    ("2026-06-05T10:48:29Z\n", FIVE_PM),
    (" 2026-06-05T10:48:29Z", FIVE_PM),
    ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
    ("2026-06-04T24:00:00Z", "2026-06-05T00:00:00.000000Z"),
    ("Fri Jun 05 2026 13:48:29 GMT+0300 (Moscow Standard Time)", FIVE_PM),
    ("2569-06-05T10:48:29.500Z", None),
    ("1447-12-19T10:48:29Z", None),
    ("0008-06-05T10:48:29Z", None),
    ("0001-01-01T00:00:00Z", None),
    ("1970-01-01T00:00:00Z", None),
    ("1970-01-01T05:00:00+05:30", None),
    ("1970-12-31T23:59:59.999Z", None),
    ("+010000-01-01T00:00:00.000Z", None),
    ("2026-02-30T00:00:00Z", None),
    ("2026-13-01T00:00:00Z", None),
    ("2026-06-05T10:48:61Z", None),
    ("2026-06-05T24:00:01Z", None),
    ("Fri, 31 Feb 2026 10:48:29 GMT", None),
    ("05/06/2026", None),
    ("2026-06-05 午後10:48:29", None),
    ("yesterday", None),
    ("", None),
    ("²", None),
    ("NaN", None),
    (0, None),
    (-1780656509, None),
    (10000000000, None),
    (9223372036854775807, None),
    (1e300, None),
    (True, None),
    ([], None),
    ({"$date": 1780656509}, None),
    ("1" * 129, None),
]


def encoded(sent: object) -> Raw:
    return Raw(json.dumps(sent, ensure_ascii=False).encode())


@pytest.mark.parametrize(("sent", "time"), OTHER_FORMS, ids=repr)
def test_time_in_another_form_is_read_or_replaced_with_a_warning(sent: object, time: str | None) -> None:
    micros, [warning] = item_time(encoded(sent), "timestamp")

    assert (micros and format_time(micros)) == time
    assert warning.code == (WarningCode.TIMESTAMP_REPLACED if time is None else WarningCode.TIMESTAMP_REFORMATTED)
    assert warning.field == "timestamp"
    is_kept_whole = isinstance(sent, str) and len(sent) <= 128
    assert warning.sent == (sent if is_kept_whole else json.dumps(sent, ensure_ascii=False)[:128])


@pytest.mark.parametrize("sent", ["2026-06-05T10:48:29Z", "2026-06-05T10:48:29", "2026-06-05 12:48:29+02:00"])
def test_usual_form_has_no_warning(sent: str) -> None:
    assert item_time(encoded(sent), "timestamp") == (parse_time(FIVE_PM), [])


def test_sent_at_that_means_no_time_is_ignored() -> None:
    assert sent_time(encoded(1780656509)) == (
        parse_time(FIVE_PM),
        [ItemWarning(WarningCode.TIMESTAMP_REFORMATTED, "sentAt", "1780656509")],
    )
    assert sent_time(encoded("soon")) == (None, [ItemWarning(WarningCode.SENT_AT_IGNORED, "sentAt", "soon")])


@given(
    st.text(max_size=40)
    | st.from_regex(r"[0-9٠-٩T:. +\-Zz\[\]()A-Za-z,]{1,40}", fullmatch=True)
    | st.floats()
    | st.integers()
    | st.none()
)
def test_any_value_is_a_time_within_the_limits_or_none(sent: object) -> None:
    micros, warnings = item_time(encoded(sent), "timestamp")

    assert micros is None or EARLIEST <= micros < parse_time("2261-12-31T23:59:59.999999Z")
    assert len(warnings) <= 1
    assert warnings or micros is not None
