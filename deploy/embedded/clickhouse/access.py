"""Which requests and statements are refused: those of web pages, and some of readers and analysts. Pure.

The engine decides what a role may read, write and set (see `roles`). It is built for a local user, so it does not check
a few statements that reach beyond the tables: `check_read` rejects those. It checks the statement as the engine formats
it, without comments and with uniform quotes, and that text is what runs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from urllib.parse import urlsplit

from deploy.embedded.clickhouse.errors import QueryError
from deploy.embedded.clickhouse.statements import Token, tokenize

REVIEWED_ENGINE = "26.9.2.1"
"""Version of the engine whose functions `_FORBIDDEN_FUNCTIONS` was compared with. A test fails for another one."""

_READ_STATEMENTS = frozenset({"select", "with", "show", "describe", "explain", "exists", "set"})
_FORBIDDEN_FUNCTIONS = frozenset(
    # Files of the server, objects of its process, and text that is run as a query.
    {"file", "python", "arrowstream", "eval", "catboostevaluate"}
    # Configuration, disk and log of the server.
    | {"getserversetting", "getmacro", "getoskernelversion", "showcertificate", "logtrace"}
    | {"filesystemavailable", "filesystemcapacity", "filesystemunreserved"}
    # Calls of other servers.
    | {"aiclassify", "aiembed", "aiextract", "aifilter", "aigenerate", "airedact", "aisimilarity", "aitranslate"}
)
_FORBIDDEN_CLAUSES = frozenset({("into", "outfile"), ("from", "infile"), ("parallel", "with")})
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_PAGE_HEADERS = ("Origin", "Referer", "Sec-Fetch-Site", "Sec-Fetch-Dest")


def check_source(headers: Mapping[str, str], host: str) -> None:
    """Raise `QueryError` if a web page, or anything else in a browser, may have sent the request with *headers*.

    Only browsers send these headers. An address typed into a browser is rejected as well: it can redirect here, and
    the request then has no other sign of the page that sent it. *host* is the Host header: any other name on this port
    is DNS rebinding, by which a page of that name is same-origin.
    """
    found = next((name for name in _PAGE_HEADERS if name in headers), None)
    if found is not None:
        raise QueryError(
            497,
            f"Requests of web browsers are rejected, and this one has the header {found}. Use `sequence sql`, curl or "
            "a ClickHouse client.",
        )
    if _hostname(host) not in _LOCAL_HOSTS:
        raise QueryError(497, f"Requests for the host {host!r} are rejected. Connect to 127.0.0.1 or localhost.")


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def check_project_read(normalized: str, user: str) -> None:
    """Raise `QueryError` if *normalized* shows what others may read: the names of their databases are projects.

    The engine allows it, since every login is the same user of the engine.
    """
    if [token.word for token in tokenize(normalized)][:2] == ["show", "grants"]:
        raise QueryError(497, f"{user}: Not enough privileges: SHOW GRANTS is not allowed.")


def check_read(normalized: str, parameters: Mapping[str, str], user: str) -> None:
    """Raise `QueryError` if *normalized*, a statement as the engine formats it, reaches beyond the tables.

    *parameters* are the values of the placeholders in it.
    """
    tokens = list(tokenize(normalized))
    first = next((token for token in tokens if token.text != "("), None)
    if first is None or first.word not in _READ_STATEMENTS or (first.word == "set" and not _sets_settings(tokens)):
        raise QueryError(
            164,
            f"{user}: Cannot execute query in readonly mode: use SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, or SET for a "
            "setting.",
        )
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        is_function = _name(token.text) in _FORBIDDEN_FUNCTIONS and not _is_part_of_name(before)
        if is_function and not _is_format(before, after):
            raise _forbidden(user, token.text)
        if before and (before.word, token.word) in _FORBIDDEN_CLAUSES:
            clause = f"{before.text} {token.text}".upper()
            raise QueryError(497, f"{user}: Not enough privileges: {clause} is not allowed.")
    for parameter in _identifiers(tokens):
        if _name(parameters.get(parameter, "")) in _FORBIDDEN_FUNCTIONS:
            raise _forbidden(user, parameters[parameter])


def _sets_settings(tokens: list[Token]) -> bool:
    """Return whether a SET statement sets settings only: no role, no transaction, no profile, no parameter."""
    names = [name.text for name, sign in pairwise(tokens) if sign.text == "=" and sign.depth == 0]
    return tokens[2:3] != [] and tokens[2].text == "=" and not any(map(_is_no_setting, names))


def _is_no_setting(name: str) -> bool:
    return name == "profile" or name.startswith("param_")


def _is_part_of_name(before: Token | None) -> bool:
    """Return whether a name after *before* is the rest of a longer one: the path `properties.file`."""
    return before is not None and before.text in {".", "^"}


def _is_format(before: Token | None, after: Token | None) -> bool:
    """Return whether a name between the two is that of the output format: `FORMAT ArrowStream`."""
    return before is not None and before.word == "format" and (after is None or after.word == "settings")


def _name(text: str) -> str:
    return text.strip(' `"').lower()


def _identifiers(tokens: list[Token]) -> Iterator[str]:
    """Yield the names of the placeholders for identifiers, `{name:Identifier}`, which can name a function."""
    for name, colon, kind in zip(tokens, tokens[1:], tokens[2:], strict=False):
        if colon.text == ":" and kind.word == "identifier":
            yield name.text


def _forbidden(user: str, name: str) -> QueryError:
    return QueryError(
        497,
        f"{user}: Not enough privileges: {name} is not allowed, it reaches beyond the tables. Quote a column of "
        f"this name with its table, as in t.{name}.",
    )
