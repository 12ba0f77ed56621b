"""Who may do what: `default` everything, `analyst` only read the tables. The engine has no users of its own.

The analyst's connections are read-only for good (`readonly = 1`), which the engine enforces. It still leaves ways out
of the tables: functions that read files or call out, answers into files, statements that are no query. Those the front
refuses. It looks at the statement as the engine renders it, in which comments, spaces and quotes hide nothing, and
that rendering is what runs.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.statements import tokens

ANALYST = "analyst"
WRITER = "default"

ANALYST_LIMITS = {"max_execution_time": "300", "max_memory_usage": "4000000000"}
"""What an analyst's query may use unless it asks for less; the same as on a server."""

_READS = frozenset({"select", "with", "show", "describe", "explain", "exists"})
_SAFE_TABLE_FUNCTIONS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "values", "view", "null", "generateseries", "generate_series"}
    | {"primes", "generaterandom"}
)
_FORBIDDEN_FUNCTIONS = frozenset({"file", "python", "catboostevaluate", "showcertificate"})


@dataclass(frozen=True, slots=True)
class Users:
    """The two users and their passwords; an empty one lets anybody in who names the user."""

    writer_password: str
    analyst_password: str

    def authenticate(self, user: str, password: str) -> bool:
        """Return whether the user may only read; raise where user and password do not belong together."""
        expected = {WRITER: self.writer_password, ANALYST: self.analyst_password}.get(user)
        if expected is None or not (expected == "" or hmac.compare_digest(expected.encode(), password.encode())):
            raise QueryError(516, f"{user}: Authentication failed: password is incorrect, or there is no such user.")
        return user == ANALYST


def check_analyst(normal: str, table_functions: Iterable[str]) -> None:
    """Raise unless *normal*, a statement as the engine renders it, is a query that stays within the tables.

    *table_functions* are all that the engine has.
    """
    pieces = list(tokens(normal))
    if not pieces or pieces[0].word not in _READS:
        raise QueryError(164, "analyst: Cannot execute query in readonly mode: only SELECT, SHOW and the like.")
    forbidden = _FORBIDDEN_FUNCTIONS | ({name.lower() for name in table_functions} - _SAFE_TABLE_FUNCTIONS)
    for piece, following in pairwise(pieces):
        name = piece.text.strip("`").lower()
        if following.text == "(" and (name in forbidden or name.startswith("ai")):
            raise QueryError(497, f"analyst: Not enough privileges: {name}() leads out of the tables.")
        if (piece.word, following.word) == ("into", "outfile"):
            raise QueryError(497, "analyst: Not enough privileges: INTO OUTFILE writes a file.")
