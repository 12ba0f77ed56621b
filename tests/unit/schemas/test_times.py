"""Times are parsed, formatted and corrected to the microsecond."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.times import (
    DAY,
    EARLIEST,
    SECOND,
    Clock,
    Times,
    _read_any,
    _read_usual,
    clock_shift,
    correct,
    format_time,
    parse_time,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST = 9_214_646_400 * SECOND - 1
NOON = parse_time("2026-01-31T12:00:00Z")

zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(1970, 1, 3), datetime(2261, 12, 29), timezones=zones)  # noqa: DTZ001  # zones follow


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("2026-01-31", "2026-01-31T00:00:00.000000Z"),
        ("2026-01-31T23:59", "2026-01-31T23:59:00.000000Z"),
        ("2026-01-31T23:59:58", "2026-01-31T23:59:58.000000Z"),
        ("2026-01-31 23:59:58", "2026-01-31T23:59:58.000000Z"),
        ("2026-01-31t23:59:58z", "2026-01-31T23:59:58.000000Z"),
        ("2026-01-31T23:59:58.1Z", "2026-01-31T23:59:58.100000Z"),
        ("2026-01-31T23:59:58,25Z", "2026-01-31T23:59:58.250000Z"),
        ("2026-01-31T23:59:58.123Z", "2026-01-31T23:59:58.123000Z"),
        ("2026-01-31T23:59:58.123456Z", "2026-01-31T23:59:58.123456Z"),
        ("2026-01-31T23:59:58.123456789Z", "2026-01-31T23:59:58.123456Z"),
        ("2026-01-31T23:59:58.999999999999Z", "2026-01-31T23:59:58.999999Z"),
        ("2026-01-31T23:59:58.123456+00:00", "2026-01-31T23:59:58.123456Z"),
        ("2026-01-31T23:59+00:00", "2026-01-31T23:59:00.000000Z"),
        ("2026-01-31T23:59:58+02:00", "2026-01-31T21:59:58.000000Z"),
        ("2026-01-31T23:59:58+0200", "2026-01-31T21:59:58.000000Z"),
        ("2026-01-31T23:59:58-02", "2026-02-01T01:59:58.000000Z"),
        ("2024-02-29T00:00:00.000Z", "2024-02-29T00:00:00.000000Z"),
        ("1971-01-01T00:00:00.000Z", "1971-01-01T00:00:00.000000Z"),
        ("1970-12-31T23:00:00-02:00", "1971-01-01T01:00:00.000000Z"),
        ("2261-12-31T23:59:59.999999Z", "2261-12-31T23:59:59.999999Z"),
    ],
)
def test_iso_8601_is_parsed(text: str, fixed: str) -> None:
    assert format_time(parse_time(text)) == fixed
    assert Clock.of(None, LAST - DAY).read(text) == (fixed, fixed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1769903999",
        "2026",
        "2026-01",
        "2026-1-31",
        "2026-02-30",
        "2025-02-29T00:00:00.000Z",
        "2026-13-01",
        "2026-W05-6T23:59:59.123Z",
        "2026-01-31T24:00:00.000Z",
        "2026-01-31T23:60:00.000Z",
        "2026-01-31T23:59:60.000Z",
        "2026-01-31T23:59:59.Z",
        "2026-01-31T23:59:59.12xZ",
        "2026-01-31T23:59:59.²²²Z",
        "2026-01-31T23:59:59.\u0661\u0662\u0663Z",
        "\u0662\u0660\u0662\u0666-01-31T23:59:59.123Z",
        "2026-01-31T23:59+02.123Z",
        "2026-01-31T23:59:59.123+24:00",
        "2026-01-31T23:59:59.123+01:60",
        "2026-01-31T23:59:59.123Z ",
        "2026-01-31T23:59:59.123Z\n",
        " 2026-01-31",
        "2026-01-31x23:59:59.123Z",
        "2026-01-31T23:59:59 UTC",
        "2026-01-31+00:00",
        "2026-01-31T23:59:59Z+00:00",
        "2026-01-31T23:59:59+00:00+00:00",
        "1969-12-31T23:59:59.999Z",
        "1970-01-01T00:00:00+00:01",
        "2262-01-01T00:00:00.000Z",
        "2261-12-31T23:59:59.999-00:01",
        "0000-01-01T00:00:00.000Z",
        "9999-12-31T23:59:59.999999Z",
        "+002026-01-31T00:00:00.000Z",
    ],
)
def test_invalid_and_out_of_range_times_are_rejected(text: str) -> None:
    with pytest.raises(ValueError):
        parse_time(text)
    with pytest.raises(ValueError):
        Clock.of(NOON - 5, NOON).read(text)


@given(st.text(max_size=40) | st.text("0123456789-:.,TZ+ W", max_size=30))
def test_any_other_text_raises_value_error(text: str) -> None:
    try:
        at = parse_time(text)
    except ValueError:
        with pytest.raises(ValueError):
            Clock.of(None, NOON).read(text)
        return
    assert Clock.of(None, NOON).read(text)[0] == format_time(at)


def outcome(read: Callable[[str], int | None], text: str) -> int | str | None:
    try:
        return read(text)
    except ValueError as error:
        return str(error)


@given(st.from_regex(r"\d{4}-[01]\d-[0-3]\d[T ][0-2]\d:\d\d:\d\d[.,]\d{3}(\d{3})?(Z|\+00:00)", fullmatch=True))
@example("2026-01-31T23:59:58.123Z")
@example("2026-02-30T23:59:58.123456+00:00")
def test_usual_forms_are_read_as_any_form_is(text: str) -> None:
    usual = outcome(_read_usual, text)

    assert usual is None or usual == outcome(_read_any, text)


@given(moments, st.sampled_from(["T", " "]), st.sampled_from(["auto", "milliseconds", "microseconds"]))
def test_python_isoformat_is_parsed_like_fromisoformat(moment: datetime, separator: str, precision: str) -> None:
    text = moment.isoformat(separator, precision)

    assert parse_time(text) == micros(datetime.fromisoformat(text))


@given(st.integers(0, LAST))
@example(0)
@example(LAST)
def test_formatted_times_parse_to_the_same_value(at: int) -> None:
    text = format_time(at)

    assert parse_time(text) == at
    assert text == (EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@given(st.integers(0, LAST), st.integers(0, LAST))
def test_fixed_form_sorts_like_the_times(left: int, right: int) -> None:
    assert (format_time(left) < format_time(right)) == (left < right)


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "corrected"),
    [
        pytest.param(None, None, NOON, id="no timestamp: time of receipt"),
        pytest.param(None, NOON - 5, NOON, id="no timestamp: sentAt is ignored"),
        pytest.param(NOON - 7, None, NOON - 7, id="no sentAt: unchanged"),
        pytest.param(NOON - 7, NOON, NOON - 7, id="the clocks agree"),
        pytest.param(NOON - 3600 * SECOND, NOON - 3500 * SECOND, NOON - 100 * SECOND, id="the sender's clock is slow"),
        pytest.param(NOON + 3600 * SECOND, NOON + 3700 * SECOND, NOON - 100 * SECOND, id="the sender's clock is fast"),
        pytest.param(NOON - DAY - 9, NOON - DAY, NOON - 9, id="a correction of a day"),
        pytest.param(NOON - DAY - 9, NOON - DAY - 1, NOON - DAY - 9, id="no correction of more than a day"),
        pytest.param(NOON + DAY, None, NOON + DAY, id="a day ahead"),
        pytest.param(NOON + DAY + 1, None, NOON, id="more than a day ahead: time of receipt"),
        pytest.param(NOON + DAY + 1, NOON + 1, NOON + DAY, id="a day ahead after correction"),
        pytest.param(NOON + DAY, NOON - 1, NOON, id="more than a day ahead after correction"),
        pytest.param(5, NOON + 9, 5, id="before 1970 after correction: unchanged"),
    ],
)
def test_clock_correction_is_bounded_to_a_day(timestamp: int | None, sent_at: int | None, corrected: int) -> None:
    assert correct(timestamp, sent_at, NOON) == Times(timestamp, sent_at, NOON, corrected)


@given(st.none() | st.integers(0, LAST), st.none() | st.integers(0, LAST), st.integers(0, LAST - DAY))
def test_corrected_times_can_always_be_formatted(timestamp: int | None, sent_at: int | None, received_at: int) -> None:
    corrected = correct(timestamp, sent_at, received_at).corrected

    assert 0 <= corrected <= received_at + DAY
    assert parse_time(format_time(corrected)) == corrected
    assert abs(clock_shift(sent_at, received_at)) <= DAY


forms = st.tuples(st.sampled_from([0, 3, 6]), st.sampled_from(["Z", "+00:00", "+01:00", "-02"]))


def clock_agrees(at: int, form: tuple[int, str], sent_at: int | None, received_at: int) -> bool:
    digits, offset = form
    fixed = format_time(at)
    text = fixed[:19] + (fixed[19 : 20 + digits] if digits else "") + offset
    times = correct(parse_time(text), sent_at, received_at)
    return Clock.of(sent_at, received_at).read(text) == (format_time(times.original or 0), format_time(times.corrected))


@given(st.integers(EARLIEST + DAY, LAST - DAY), forms, st.none() | st.integers(0, LAST), st.integers(0, LAST - DAY))
@example(EARLIEST + DAY, (3, "Z"), EARLIEST + 2 * DAY + 1, EARLIEST + DAY)
@example(NOON + DAY, (6, "Z"), NOON, NOON)
@example(NOON + DAY, (6, "Z"), NOON - 1, NOON)
def test_clock_agrees_with_correct(at: int, form: tuple[int, str], sent_at: int | None, received_at: int) -> None:
    assert clock_agrees(at, form, sent_at, received_at)


@given(st.integers(EARLIEST + 2 * DAY, LAST - 3 * DAY), st.integers(-DAY, DAY), st.integers(-DAY, 2 * DAY), forms)
@example(NOON, 999_999, 999_999, (3, "Z"))
@example(NOON, -1, 0, (6, "Z"))
def test_clock_less_than_a_day_off_agrees_with_correct(
    received_at: int, off: int, ahead: int, form: tuple[int, str]
) -> None:
    assert clock_agrees(received_at + ahead, form, received_at + off, received_at)


def test_clock_moves_times_to_before_1971_but_reads_none_of_them() -> None:
    clock = Clock.of(EARLIEST + 9, EARLIEST)

    assert clock.read("1971-01-01T00:00:00.000005Z") == ("1971-01-01T00:00:00.000005Z", "1970-12-31T23:59:59.999996Z")
    for text in ("1970-12-31T23:59:59.999Z", "1970-12-31T23:59:59.999999Z", "1970-01-01", "1970-12-31T23:59:59"):
        with pytest.raises(ValueError, match="1971"):
            clock.read(text)
