"""Users and access control: `default` may do everything, `analyst` may only read the tables.

The engine has no users. It enforces that an analyst's connection is read-only (`readonly = 1`), but a read-only query
could still read files, call other servers, or write its result into a file. `check_analyst` rejects such queries. It
checks the statement as the engine formats it, without comments and with uniform quotes, and that text is what runs.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.statements import tokenize

ANALYST = "analyst"
WRITER = "default"

ANALYST_LIMITS = {"max_execution_time": "300", "max_memory_usage": "4000000000"}
"""Default limits of an analyst's query, the same as on a ClickHouse server."""

_READ_STATEMENTS = frozenset({"select", "with", "show", "describe", "explain", "exists"})
_SAFE_TABLE_FUNCTIONS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "values", "view", "null", "generateseries", "generate_series"}
    | {"primes", "generaterandom"}
)
_FORBIDDEN_FUNCTIONS = frozenset({"file", "python", "catboostevaluate", "showcertificate"})


@dataclass(frozen=True, slots=True)
class Users:
    """The two users and their passwords. With an empty password, the user name is enough."""

    writer_password: str
    analyst_password: str

    def authenticate(self, user: str, password: str) -> None:
        """Raise `QueryError` unless *user* exists and has *password*."""
        expected = {WRITER: self.writer_password, ANALYST: self.analyst_password}.get(user)
        if expected is None or not (expected == "" or hmac.compare_digest(expected.encode(), password.encode())):
            raise QueryError(516, f"{user}: Authentication failed: password is incorrect, or there is no such user.")


def check_analyst(normalized: str, table_functions: Iterable[str]) -> None:
    """Raise `QueryError` unless *normalized*, a statement as the engine formats it, only reads tables.

    *table_functions* are the names of all table functions of the engine.
    """
    tokens = list(tokenize(normalized))
    if not tokens or tokens[0].word not in _READ_STATEMENTS:
        raise QueryError(
            164,
            "analyst: Cannot execute query in readonly mode: use SELECT, SHOW, DESCRIBE, EXPLAIN or EXISTS.",
        )
    forbidden = _FORBIDDEN_FUNCTIONS | ({name.lower() for name in table_functions} - _SAFE_TABLE_FUNCTIONS)
    for token, following in pairwise(tokens):
        name = token.text.strip("`").lower()
        if following.text == "(" and (name in forbidden or name.startswith("ai")):
            raise QueryError(
                497, f"analyst: Not enough privileges: {name}() is not allowed, it can read outside of the tables."
            )
        if (token.word, following.word) == ("into", "outfile"):
            raise QueryError(497, "analyst: Not enough privileges: INTO OUTFILE is not allowed.")
