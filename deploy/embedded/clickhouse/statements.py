"""Parses SQL as far as the server needs it: where the rows of an INSERT begin, and the output format of a query. Pure.

Access control never relies on this parser for the text of a request: only the engine knows exactly what it treats as a
comment, a space or a quote. Checks use the statement as the engine formats it (`formatQuerySingleLine`), called
*normalized* here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from deploy.embedded.clickhouse.errors import QueryError

HEAD_BYTES = 64 * 1024
"""The rows of an INSERT begin within this many bytes: no column list is longer."""

_STATEMENTS_WITH_RESULT = frozenset({"select", "with", "show", "describe", "explain", "exists", "check", "kill"})

_FORMAT_SEPARATOR = re.compile(rb"[ \t]*;?[ \t]*(?:\r?\n)?")
"""What may separate the name of a format from the rows."""

_TOKEN = re.compile(
    r"(?P<space>\s+|--[^\n]*|#[ !][^\n]*|/\*.*?(?:\*/|$))"
    r"|(?P<string>'(?:[^'\\]|\\.|'')*'?)"
    r"|(?P<quoted>`(?:[^`\\]|\\.|``)*`?|\"(?:[^\"\\]|\\.|\"\")*\"?)"
    r"|(?P<heredoc>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))"
    r"|(?P<word>\w[\w$]*)"
    r"|(?P<other>.)",
    re.DOTALL,
)


class Token(NamedTuple):
    """A token of a statement; spaces and comments are left out."""

    kind: str
    text: str
    start: int
    end: int
    depth: int
    """Number of enclosing parentheses."""

    @property
    def word(self) -> str:
        """The word in lower case; empty for a token of another kind, such as a quoted name."""
        return self.text.lower() if self.kind == "word" else ""


def tokenize(sql: str) -> Iterator[Token]:
    """Yield the tokens of *sql*."""
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup if match.lastgroup != "tag" else "heredoc"
        if kind is None or kind == "space":
            continue
        text = match[0]
        depth -= text == ")"
        yield Token(kind, text, match.start(), match.end(), depth)
        depth += text == "("


def is_insert(text: bytes) -> bool:
    """Return whether *text* begins with an INSERT."""
    first = next(tokenize(_head(text)), None)
    return first is not None and first.word == "insert"


def split_insert(text: bytes) -> tuple[bytes, bytes]:
    """Split an INSERT into its statement, which ends with `VALUES` or the name of its format, and its rows."""
    format_keyword = None
    selects = False
    for token in tokenize(_head(text)):
        if format_keyword is not None and token.kind == "word":
            separator = _FORMAT_SEPARATOR.match(text, token.end)
            return text[: token.end], text[separator.end() if separator else token.end :]
        format_keyword = token if token.depth == 0 and token.word == "format" else None
        selects = selects or (token.depth == 0 and token.word in {"select", "with"})
        if token.depth == 0 and token.word == "values" and not selects:
            return text[: token.end], text[token.end :]
    return text, b""


def ends_with_values(sql: str) -> bool:
    """Return whether the INSERT *sql* ends with `VALUES`, so that its rows are SQL: expressions and DEFAULT."""
    return sql[-6:].lower() == "values"


def with_rows_from_file(sql: str, path: str) -> str:
    """Return the INSERT *sql* with the file *path* as the source of its rows.

    A server reads the rows from the request body, but the engine alone needs a file: the table function `file` replaces
    `input('…')`; any other INSERT gets FROM INFILE.
    """
    tokens = list(tokenize(sql))
    name, end = _split_format(sql, tokens)
    for call, opening, structure, closing in zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False):
        if call.word == "input" and opening.text == "(" and structure.kind == "string" and closing.text == ")":
            source = f"file('{path}', '{name}', {structure.text})"
            return f"{sql[: call.start]}{source}{sql[closing.end : end]}"
    if any(token.depth == 0 and token.word == "select" for token in tokens):
        raise QueryError(62, "The request body has rows, but INSERT … SELECT does not read them. Use FROM input('…').")
    insert_at = next((token.start for token in tokens if token.depth == 0 and token.word == "settings"), end)
    return f"{sql[:insert_at]} FROM INFILE '{path}' {sql[insert_at:end]} FORMAT {name}"


def returns_result(normalized: str) -> bool:
    """Return whether the statement *normalized* has a result, which may have no rows."""
    first = next(tokenize(normalized), None)
    return first is not None and (first.word in _STATEMENTS_WITH_RESULT or first.text == "(")


def output_format(normalized: str) -> str | None:
    """Return the format that the statement *normalized* names for its result."""
    tokens = list(tokenize(normalized))
    for token, name, after in zip(tokens, tokens[1:], [*tokens[2:], None], strict=False):
        if token.depth == 0 and token.word == "format" and (after is None or after.word == "settings"):
            return name.text
    return None


def _split_format(sql: str, tokens: list[Token]) -> tuple[str, int]:
    """Return the format of the rows, and the end of the statement before its FORMAT clause."""
    if len(tokens) > 1 and tokens[-2].word == "format":
        return tokens[-1].text, tokens[-2].start
    raise QueryError(62, f"The request body has rows, but the query does not end with FORMAT: {sql[:200]}")


def _head(text: bytes) -> str:
    """Return the beginning of *text*, decoded so that each byte is one character."""
    return text[:HEAD_BYTES].decode("latin-1")
