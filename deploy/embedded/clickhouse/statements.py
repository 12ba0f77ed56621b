"""What the front has to know of a statement's text: where an INSERT's rows begin, and how the answer is written.

Whether a query may run is decided on the engine's own rendering of it (`formatQuerySingleLine`), never on text as it
came: only the engine knows what it takes for a comment, a space or a quote. Here only what surrounds rows is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from deploy.embedded.clickhouse.errors import QueryError

HEAD_BYTES = 64 * 1024
"""How far an INSERT's rows are looked for: no list of columns is that long."""

_ANSWERED = frozenset({"select", "with", "show", "describe", "explain", "exists", "check", "kill"})

_GAP = re.compile(rb"[ \t]*;?[ \t]*(?:\r?\n)?")
"""What may stand between the name of a format and the rows."""

_TOKENS = re.compile(
    r"(?P<space>\s+|--[^\n]*|#[ !][^\n]*|/\*.*?(?:\*/|$))"
    r"|(?P<string>'(?:[^'\\]|\\.|'')*'?)"
    r"|(?P<quoted>`(?:[^`\\]|\\.|``)*`?|\"(?:[^\"\\]|\\.|\"\")*\"?)"
    r"|(?P<heredoc>\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$))"
    r"|(?P<word>\w[\w$]*)"
    r"|(?P<other>.)",
    re.DOTALL,
)


class Token(NamedTuple):
    """A piece of a statement; spaces and comments are none."""

    kind: str
    text: str
    start: int
    end: int
    depth: int
    """How many parentheses are open around it."""

    @property
    def word(self) -> str:
        """The word in lower case; empty for what is no word outside of quotes."""
        return self.text.lower() if self.kind == "word" else ""


def tokens(sql: str) -> Iterator[Token]:
    """Yield the pieces of *sql*."""
    depth = 0
    for match in _TOKENS.finditer(sql):
        kind = match.lastgroup if match.lastgroup != "tag" else "heredoc"
        if kind is None or kind == "space":
            continue
        text = match[0]
        depth -= text == ")"
        yield Token(kind, text, match.start(), match.end(), depth)
        depth += text == "("


def is_insert(text: bytes) -> bool:
    """Return whether the statement that begins *text* is an INSERT."""
    first = next(tokens(_head(text)), None)
    return first is not None and first.word == "insert"


def split_insert(text: bytes) -> tuple[bytes, bytes]:
    """Return the statement of an INSERT, up to `VALUES` or the name of its format, and the rows that follow it."""
    before = None
    selects = False
    for token in tokens(_head(text)):
        if before is not None and token.kind == "word":
            gap = _GAP.match(text, token.end)
            return text[: token.end], text[gap.end() if gap else token.end :]
        before = token if token.depth == 0 and token.word == "format" else None
        selects = selects or (token.depth == 0 and token.word in {"select", "with"})
        if token.depth == 0 and token.word == "values" and not selects:
            return text[: token.end], text[token.end :]
    return text, b""


def takes_values(sql: str) -> bool:
    """Return whether the INSERT *sql* goes on with `VALUES`, which the engine reads best as text: it knows DEFAULT."""
    return sql[-6:].lower() == "values"


def reading_rows(sql: str, path: str) -> str:
    """Return the INSERT *sql* such that it reads the file *path*, in place of the rows that come with the request.

    A server gives an INSERT the rest of the request's body; the engine alone has to be given a file: instead of
    `input('…')` the table function `file`, and otherwise FROM INFILE.
    """
    pieces = list(tokens(sql))
    name, end = _format(sql, pieces)
    for call, opening, structure, closing in zip(pieces, pieces[1:], pieces[2:], pieces[3:], strict=False):
        if call.word == "input" and opening.text == "(" and structure.kind == "string" and closing.text == ")":
            source = f"file('{path}', '{name}', {structure.text})"
            return f"{sql[: call.start]}{source}{sql[closing.end : end]}"
    if any(piece.depth == 0 and piece.word == "select" for piece in pieces):
        raise QueryError(62, "rows come with the request, but INSERT … SELECT reads none: FROM input('…') would")
    at = next((piece.start for piece in pieces if piece.depth == 0 and piece.word == "settings"), end)
    return f"{sql[:at]} FROM INFILE '{path}' {sql[at:end]} FORMAT {name}"


def answers(normal: str) -> bool:
    """Return whether *normal*, a statement as the engine renders it, is one that is answered, if only by no rows."""
    first = next(tokens(normal), None)
    return first is not None and (first.word in _ANSWERED or first.text == "(")


def output_format(normal: str) -> str | None:
    """Return the format that *normal*, a statement as the engine renders it, names for its answer."""
    pieces = list(tokens(normal))
    for piece, name, after in zip(pieces, pieces[1:], [*pieces[2:], None], strict=False):
        if piece.depth == 0 and piece.word == "format" and (after is None or after.word == "settings"):
            return name.text
    return None


def _format(sql: str, pieces: list[Token]) -> tuple[str, int]:
    """Return the name of the rows' format, and where the statement ends before it is said."""
    if len(pieces) > 1 and pieces[-2].word == "format":
        return pieces[-1].text, pieces[-2].start
    raise QueryError(62, f"the request's body holds rows, but the query does not end with FORMAT: {sql[:200]}")


def _head(text: bytes) -> str:
    """Return the beginning of *text*, one character for each byte."""
    return text[:HEAD_BYTES].decode("latin-1")
