"""Who may do what: `default` everything, `analyst` only read the tables. The engine has no users of its own.

The analyst's connections are read-only for good (`readonly = 1`), which the engine enforces. It still leaves ways out
of the tables: functions that read files or call out, and statements that are no query. Those the front refuses by
looking at the statement's words, its strings and comments apart.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.local.clickhouse.errors import QueryError

ANALYST = "analyst"
WRITER = "default"

_READS = frozenset({"select", "with", "show", "describe", "desc", "explain", "exists"})
SAFE_TABLE_FUNCTIONS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "values", "view", "null", "generateseries", "generate_series"}
    | {"primes", "generaterandom", "fuzzjson"}
)
_FORBIDDEN_FUNCTIONS = frozenset({"file", "python", "catboostevaluate", "showcertificate"})

_SPACE = re.compile(r"\s+|--[^\n]*|#![^\n]*|/\*.*?(?:\*/|$)", re.DOTALL)
_TOKENS = re.compile(
    r"(?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|$))"
    r"|(?P<string>'(?:[^'\\]|\\.|'')*'?)"
    r"|(?P<quoted>`(?:[^`\\]|\\.|``)*`?|\"(?:[^\"\\]|\\.|\"\")*\"?)"
    r"|(?P<heredoc>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))"
    r"|(?P<word>\w+)"
    r"|(?P<other>.)",
    re.DOTALL,
)


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


def is_read(sql: str) -> bool:
    """Return whether *sql* only asks."""
    rest = sql
    while match := _SPACE.match(rest):
        rest = rest[match.end() :]
    first = re.match(r"\w+", rest.lstrip("("))
    return first is not None and first[0].lower() in _READS


def check_analyst(sql: str, table_functions: Iterable[str]) -> None:
    """Raise unless *sql* is a query that stays within the tables; *table_functions* are all that the engine has."""
    if not is_read(sql):
        raise QueryError(164, "analyst: Cannot execute query in readonly mode: only SELECT, SHOW and the like.")
    forbidden = _FORBIDDEN_FUNCTIONS | ({name.lower() for name in table_functions} - SAFE_TABLE_FUNCTIONS)
    words = _words(sql)
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if following == "(" and word in forbidden:
            raise QueryError(497, f"analyst: Not enough privileges: {word}() leads out of the tables.")
        if (word, following) == ("into", "outfile"):
            raise QueryError(497, "analyst: Not enough privileges: INTO OUTFILE writes a file.")
        if "/" in word or word.endswith((".csv", ".tsv", ".json", ".parquet")):
            raise QueryError(497, "analyst: Not enough privileges: a file is not a table.")


def _words(sql: str) -> list[str]:
    """Return the words and signs of *sql* in lower case, without quotes, strings and comments."""
    words = []
    for match in _TOKENS.finditer(sql):
        if match["quoted"]:
            words.append(match["quoted"].strip('`"').lower())
        elif not (match["space"] or match["string"] or match["heredoc"]):
            words.append(match[0].lower())
    return words
