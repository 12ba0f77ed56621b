"""ClickHouse's error codes: what each means for an INSERT, and what to do. Pure.

The codes: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

SUMMARY_CHARACTERS = 300


class FaultKind(StrEnum):
    """Whose fault an error is, as far as its code tells."""

    ROW = "row"
    """A value cannot be parsed or converted: sending it again does not help."""
    SIZE = "size"
    """Memory or time ran out, or the server went away: fewer rows may pass."""
    STATE = "state"
    """The table, a grant, a limit or the server: a person must act, and then the same rows pass."""
    UNAVAILABLE = "unavailable"
    """The server is busy, starting or unreachable: it passes by itself."""
    UNKNOWN = "unknown"
    """No meaning is known for the code."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The meaning of an error: its kind, one sentence, and what to do."""

    kind: FaultKind
    text: str
    advice: str


_ROW = Fault(
    FaultKind.ROW,
    "A value cannot be parsed or converted.",
    "If the table has columns, defaults or indexes of your own, check them.",
)
_UNREACHABLE = Fault(FaultKind.UNAVAILABLE, "ClickHouse does not answer.", "Check that it runs.")
_BUSY = Fault(FaultKind.UNAVAILABLE, "ClickHouse cannot take the INSERT at the moment.", "Check its load.")
_REPLICAS = Fault(
    FaultKind.UNAVAILABLE,
    "The replicas cannot take the INSERT at the moment.",
    "Check that most replicas of the table and Keeper run.",
)
_SLOW = Fault(
    FaultKind.SIZE,
    "The INSERT did not end in time, or the connection ended before the answer.",
    "Check the load of ClickHouse, and whether it restarts.",
)
_MEMORY = Fault(
    FaultKind.SIZE,
    "The INSERT needs more memory than ClickHouse allows.",
    "Raise max_memory_usage of the sink's user or the memory of the server.",
)
_NO_TABLE = Fault(
    FaultKind.STATE, "The table or the database does not exist.", "Run `sequence tables migrate`, or restore it."
)
_NO_COLUMN = Fault(
    FaultKind.STATE,
    "A column of the table is missing or was changed.",
    "Run `sequence tables migrate`, or add the column again.",
)
_LOGIN = Fault(
    FaultKind.STATE,
    "ClickHouse rejects the login.",
    "Check SEQUENCE_CLICKHOUSE_USERNAME and SEQUENCE_CLICKHOUSE_PASSWORD.",
)
_SETTING = Fault(
    FaultKind.STATE,
    "The server does not accept a setting of the INSERT.",
    "Allow the setting in the profile of the sink's user, or update ClickHouse.",
)
_READONLY = Fault(FaultKind.STATE, "The table, the disk or the user is read-only.", "Make it writable.")
_DISK = Fault(FaultKind.STATE, "The disk is full.", "Free space on the disk of ClickHouse.")
_FILES = Fault(
    FaultKind.UNKNOWN,
    "ClickHouse cannot open, read or write a file.",
    "Check its disk, its rights and its limit of open files.",
)
_THROW_IF = Fault(
    FaultKind.UNKNOWN, "An expression of the table calls throwIf.", "Correct the default, index or constraint."
)
_OTHER = Fault(FaultKind.UNKNOWN, "ClickHouse rejects the INSERT.", "Read the error and ClickHouse's log.")

_FAULTS = {
    **dict.fromkeys((6, 26, 27, 32, 33, 38, 41, 43, 53, 69, 70, 72, 117, 130, 131, 306, 349, 441, 467), _ROW),
    **dict.fromkeys((159, 160, 209), _SLOW),
    **dict.fromkeys((173, 241), _MEMORY),
    **dict.fromkeys((202, 203, 210, 236, 252, 394, 425, 439), _BUSY),
    **dict.fromkeys((225, 285, 286, 289, 319, 999), _REPLICAS),
    **dict.fromkeys((60, 81, 218), _NO_TABLE),
    **dict.fromkeys((8, 10, 16, 44, 47), _NO_COLUMN),
    **dict.fromkeys((192, 193, 194, 516), _LOGIN),
    **dict.fromkeys((115, 452), _SETTING),
    **dict.fromkeys((164, 242), _READONLY),
    243: _DISK,
    201: Fault(FaultKind.STATE, "The quota of the sink's user is used up.", "Raise the quota, or wait for its end."),
    469: Fault(FaultKind.STATE, "A constraint of the table rejects rows.", "Change or drop the constraint."),
    497: Fault(FaultKind.STATE, "The sink's user lacks a permission.", "Grant what the error names."),
    **dict.fromkeys((74, 75, 76, 107), _FILES),
    395: _THROW_IF,
}

INVALID_VALUE = _ROW
"""A value cannot be parsed or converted."""
LATE = _SLOW
"""A statement that was sent and has no answer, or that ran after its deadline."""
UNREACHABLE = _UNREACHABLE
"""A statement that was not sent."""

LOGIN_CODES = frozenset({192, 193, 194, 516})
"""Unknown user, wrong password, and the code that hides which of them it is."""


def fault_of_code(code: int) -> Fault:
    """Return the meaning of *code*."""
    return _FAULTS.get(code, _OTHER)


_EXCEPTION = re.compile(r"Code: \d+\. DB::Exception: .*", re.DOTALL)
_DETAILS = re.compile(r"\n|: \(at row|: \(?[wW]hile |: \(in file|: In scope|\. Column values:|\. Note: there are")
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"|\{[^}]*\}")
_NAME = re.compile(r"\(([A-Z][A-Z0-9_]+)\)")


def summary(text: str) -> str:
    """Return the engine's error *text* for a log line: one line, without values of rows."""
    found = _EXCEPTION.search(text)
    if found is None:
        return text
    names = _NAME.findall(found[0])
    brief = _QUOTED.sub("'…'", _DETAILS.split(found[0], maxsplit=1)[0])[:SUMMARY_CHARACTERS]
    return f"{brief} ({names[-1]})" if names and names[-1] not in brief else brief
