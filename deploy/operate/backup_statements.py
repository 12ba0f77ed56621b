"""The BACKUP and RESTORE statements, and where ClickHouse reads and writes their files. Pure.

Without a destination these are subdirectories of the directory of backups. On a server it can be any that ClickHouse
knows: `S3('https://…', 'key', 'secret')`, `Disk('backups', 'path')`, `File('/path')`, `AzureBlobStorage(…)`, or a named
collection in their place. Credentials are in the statement alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.embedded.clickhouse.statements import Token, tokenize
from schemas.clickhouse.quoting import literal, quoted

_PATH_AT = {"file": 0, "disk": 1, "s3": 0, "azureblobstorage": 2}
"""Which argument of a destination is the path."""
_NOT_IN_XML = frozenset("&<")
"""ClickHouse writes the place of a base into an XML file as it is."""
_PLAIN = re.compile(r"\w+")
"""A name of a disk, a container or a collection."""
_LOGIN = re.compile(r"//[^/@]*@")
_AFTER_COLLECTION = 1


@dataclass(frozen=True, slots=True)
class Destination:
    """A function of ClickHouse whose argument *path_at* is the directory of all backups."""

    function: str
    arguments: tuple[str, ...]
    """As they are written in SQL."""
    path_at: int
    is_directory: bool = False
    """Whether it is the directory of backups itself."""

    def sql(self, name: str, step: str) -> str:
        """Return the place of *step* of the backup *name*, with credentials."""
        arguments = list(self.arguments)
        path = unquote(arguments[self.path_at]).rstrip("/")
        arguments[self.path_at] = literal("/".join(filter(None, [path, name, step])))
        return f"{self.function}({', '.join(arguments)})"

    def __str__(self) -> str:
        """Return the destination without credentials."""
        path = literal(_LOGIN.sub("//", unquote(self.arguments[self.path_at])).partition("?")[0])
        before = [_name(text) for text in self.arguments[: self.path_at]]
        after = ["…"] * (len(self.arguments) > self.path_at + 1)
        return f"{self.function}({', '.join([*before, path, *after])})"

    def hide(self, text: str) -> str:
        """Return *text*, for example of an error, without the credentials of the destination."""
        if self.is_directory:
            return text
        for number, argument in enumerate(self.arguments):
            secret = unquote(argument)
            if secret and (number > self.path_at or (number < self.path_at and not _PLAIN.fullmatch(secret))):
                text = text.replace(secret, "…")
        return _LOGIN.sub("//", text)


def in_directory(directory: Path) -> Destination:
    """Return *directory* of the machine of ClickHouse; `ValueError` for a path that it cannot find a base by."""
    if found := sorted(_NOT_IN_XML.intersection(str(directory.absolute()))):
        raise ValueError(
            f"{directory} has the character {found[0]} in its path, with which ClickHouse cannot read a backup again"
        )
    return Destination("File", (literal(str(directory.absolute())),), 0, is_directory=True)


def parse(text: str) -> Destination:
    """Return the destination that a person wrote; raises `ValueError`, whose text has no credentials."""
    tokens = list(tokenize(text))
    wrong = ValueError(
        "The destination is not one of ClickHouse, such as S3('https://bucket.s3.amazonaws.com/backups', 'key', "
        "'secret'), Disk('backups', 'path') or File('/path')"
    )
    if len(tokens) < 4 or tokens[1].text != "(" or tokens[-1].text != ")":
        raise wrong
    function, inside = tokens[0].text, tokens[2:-1]
    if tokens[0].word not in _PATH_AT or any(token.text != "," for token in inside[1::2]) or len(inside) % 2 == 0:
        raise wrong
    arguments = inside[::2]
    if any(token.kind not in {"string", "word", "quoted"} or token.text == "'" for token in arguments):
        raise wrong
    in_collection = _is_collection(function, arguments)
    path_at = _AFTER_COLLECTION if in_collection else _PATH_AT[tokens[0].word]
    written = [token.text for token in arguments]
    if in_collection and len(written) == 1:
        # The collection has the whole path.
        return Destination(function, (*written, "''"), path_at)
    if path_at >= len(written) or arguments[path_at].kind != "string":
        raise wrong
    return Destination(function, tuple(written), path_at)


def _is_collection(function: str, arguments: Sequence[Token]) -> bool:
    return function.lower() not in {"disk", "file"} and arguments[0].kind != "string"


def backup(names: Iterable[str], database: str, place: str, settings: Mapping[str, str]) -> str:
    """Return the statement that saves tables and views of *database* at *place*; *settings* are SQL by name."""
    tables = ", ".join(f"TABLE {quoted(database)}.{quoted(name)}" for name in names)
    return f"BACKUP {tables} TO {place} SETTINGS {_settings(settings)}"


def restore(names: Iterable[str], database: str, into: str, place: str, settings: Mapping[str, str]) -> str:
    """Return the statement that creates and fills tables of *database* at *place* as tables of the database *into*."""
    tables = ", ".join(f"TABLE {quoted(database)}.{quoted(name)} AS {quoted(into)}.{quoted(name)}" for name in names)
    return f"RESTORE {tables} FROM {place} SETTINGS {_settings(settings)}"


def attach(reading: str, database: str, place: str) -> str:
    """Return the statement that makes the tables of *database* at *place* readable in the database *reading*."""
    return f"CREATE DATABASE {quoted(reading)} ENGINE = Backup({literal(database)}, {place})"


def unquote(text: str) -> str:
    """Return the value of the string *text* in SQL, or *text* itself if it is none."""
    if not text.startswith("'"):
        return text
    return re.sub(r"\\(.)|''", lambda found: found[1] or "'", text[1:-1])


def _name(text: str) -> str:
    """Return an argument before the path: the name of a disk or a collection, else nothing that could be secret."""
    value = unquote(text)
    return text if _PLAIN.fullmatch(value) else "…"


def _settings(settings: Mapping[str, str]) -> str:
    return ", ".join(f"{name} = {value}" for name, value in settings.items())
