"""The meaning of ClickHouse's error codes, and what of an error reaches the log."""

from __future__ import annotations

import pytest

from processors.clickhouse.codes import FaultKind, fault_of_code, summary
from processors.clickhouse.errors import CertificateError, ClickHouseError, LostAnswerError, TooLateError


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [
        (FaultKind.ROW, (6, 27, 38, 41, 53, 72, 117)),
        (FaultKind.SIZE, (159, 160, 173, 209, 241)),
        (FaultKind.STATE, (16, 60, 81, 115, 164, 201, 242, 243, 452, 469, 497, 516)),
        (FaultKind.UNAVAILABLE, (202, 252, 999)),
        (FaultKind.UNKNOWN, (49, 76, 107, 395, 1001, 100_000)),
    ],
)
def test_kind_of_a_code_says_whose_fault_it_is(kind: FaultKind, numbers: tuple[int, ...]) -> None:
    assert {fault_of_code(code).kind for code in numbers} == {kind}


def test_error_without_a_code_is_an_outage_unless_its_statement_was_sent() -> None:
    assert ClickHouseError("refused").fault.kind is FaultKind.UNAVAILABLE
    assert CertificateError("expired").fault.kind is FaultKind.UNAVAILABLE
    assert LostAnswerError("timed out").fault.kind is FaultKind.SIZE
    assert TooLateError("too late", 395).fault.kind is FaultKind.SIZE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            (
                "Received ClickHouse exception, code: 6, server response: Code: 6. DB::Exception: Cannot parse string "
                "'secret' as Int32: syntax error at begin of string. Note: there are toInt32OrZero: while executing "
                "'FUNCTION toInt32(user_id)'. (CANNOT_PARSE_TEXT) (for url http://127.0.0.1:1)"
            ),
            (
                "Code: 6. DB::Exception: Cannot parse string '…' as Int32: syntax error at begin of string "
                "(CANNOT_PARSE_TEXT)"
            ),
        ),
        (
            (
                "Code: 469. DB::Exception: Constraint `c1` for table d.events (1-2) is violated at row 1. Expression: "
                "(price < 7). Column values: price = 8. (VIOLATED_CONSTRAINT)"
            ),
            (
                "Code: 469. DB::Exception: Constraint `c1` for table d.events (1-2) is violated at row 1. Expression: "
                "(price < 7) (VIOLATED_CONSTRAINT)"
            ),
        ),
        (
            'Code: 117. DB::Exception: Cannot parse JSON object here: {"card":"4111"}: (at row 3)\nRow 1: "x"',
            "Code: 117. DB::Exception: Cannot parse JSON object here: '…'",
        ),
        ("[Errno 111] Connection refused", "[Errno 111] Connection refused"),
    ],
)
def test_summary_of_an_error_has_no_value_of_a_row(text: str, expected: str) -> None:
    assert summary(text) == expected
