"""Errors in ClickHouse's format: a code, a message, and the HTTP status with which a server replies.

The codes: https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp
"""

from __future__ import annotations

import re

_BAD_REQUEST = (
    {6, 25, 26, 27, 36, 38, 41, 42, 43, 44, 53, 59, 62, 69, 70, 72, 117, 167, 168, 182, 223, 321, 376, 386, 441, 456}
    | {457, 675, 676, 677}
)  # fmt: skip
_NOT_FOUND = {16, 46, 47, 50, 56, 60, 63, 73, 78, 81, 115, 336}
_STATUS = {
    **dict.fromkeys(_BAD_REQUEST, 400),
    **dict.fromkeys(_NOT_FOUND, 404),
    48: 501,
    74: 503,
    76: 503,
    159: 408,
    192: 403,
    193: 403,
    194: 401,
    202: 503,
    209: 503,
    372: 404,
    373: 500,
    381: 411,
    497: 403,
    516: 403,
}
_ERROR = re.compile(r"Code: (\d+)\. .*", re.DOTALL)
_NESTED = re.compile(r"\A(Code: (\d+)\. DB::Exception: )(?:Code: \2\. DB::Exception: )")
_DENIED = re.compile(r"default: (?=Not enough privileges)")
"""The engine knows the user `default` only."""


class QueryError(Exception):
    """A failed query; *code* is ClickHouse's error code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status of the reply."""
        return _STATUS.get(self.code, 500)

    @property
    def text(self) -> str:
        """The body of the reply."""
        message = str(self)
        return f"{message}\n" if message.startswith("Code: ") else f"Code: {self.code}. DB::Exception: {message}\n"


def from_engine(error: Exception, user: str) -> QueryError:
    """Return the engine's *error* with its code, as *user* gets it; code 1001 (`STD_EXCEPTION`) if it has none."""
    match = _ERROR.search(str(error))
    if match is None:
        return QueryError(1001, str(error))
    return QueryError(int(match[1]), _DENIED.sub(f"{user}: ", _NESTED.sub(r"\1", match[0])))
