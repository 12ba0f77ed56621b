"""Errors as ClickHouse says them: a number, a sentence, and the HTTP status that a server answers with."""

from __future__ import annotations

import re

_STATUS = {
    159: 408,
    164: 500,
    192: 403,
    193: 403,
    194: 401,
    202: 503,
    241: 500,
    497: 403,
    516: 403,
}
_BAD_REQUEST = frozenset({6, 26, 27, 36, 38, 41, 42, 43, 46, 47, 53, 57, 62, 69, 72, 73, 115, 117, 386, 456, 457})
_NOT_FOUND = frozenset({60, 81, 16})
_CODE = re.compile(r"Code: (\d+)\.")


class QueryError(Exception):
    """A query that cannot be answered; *code* is ClickHouse's number for why."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code

    @property
    def status(self) -> int:
        """The HTTP status for it."""
        if self.code in _BAD_REQUEST:
            return 400
        return 404 if self.code in _NOT_FOUND else _STATUS.get(self.code, 500)

    @property
    def text(self) -> str:
        """The body of the answer."""
        message = str(self)
        return f"{message}\n" if message.startswith("Code: ") else f"Code: {self.code}. DB::Exception: {message}\n"


def from_engine(error: Exception) -> QueryError:
    """Return the engine's *error* with its number."""
    match = _CODE.search(str(error))
    return QueryError(int(match[1]) if match else 1001, str(error))
