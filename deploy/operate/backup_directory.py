"""The directory of backups: one subdirectory for each, with ClickHouse's files, other records and the manifest."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from xml.sax.saxutils import escape, unescape

import msgspec

from deploy.errors import ArgumentError, OperateError
from deploy.operate.backup_manifest import FORMAT, Manifest
from schemas.clickhouse.quoting import literal

MANIFEST = "manifest.json"
PROJECTS = "projects.jsonl"
LOGINS = "analysts.json"
_INDEX = ".backup"
"""ClickHouse's list of the files of a BACKUP statement, which it writes last."""
_LOCK = ".lock"
_NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
_BASE = re.compile(r"<base_backup>(.*?)</base_backup>", re.DOTALL)
_FILE = re.compile(r"<file>(.*?)</file>", re.DOTALL)
_FIELD = re.compile(r"<(\w+)>(.*?)</\1>", re.DOTALL)
_XML = {"&quot;": '"', "&apos;": "'", "&#39;": "'", "&#34;": '"'}


class Directory:
    """The backups in *path*. Methods raise `OperateError` for a backup that cannot be used."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Create the directory, readable by its owner only, and let no other command use it during the block."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise ArgumentError(f"{self.path} is no directory.") from None
        lock = os.open(self.path / _LOCK, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise OperateError(f"Another command uses the backups in {self.path}. Wait until it has ended.") from None
        finally:
            os.close(lock)

    @contextmanager
    def read(self) -> Iterator[None]:
        """Let no other command use the directory during the block, unless it cannot be written at all."""
        if os.access(self.path, os.W_OK):
            with self.locked():
                yield
        else:
            yield

    def names(self) -> list[str]:
        """Return the names of all backups, oldest first, incomplete ones included. Raises `ArgumentError`."""
        try:
            return sorted(each.name for each in self.path.iterdir() if _NAME.fullmatch(each.name) and each.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            raise ArgumentError(f"There is no directory {self.path}.") from None

    def new_name(self, now: datetime) -> str:
        """Return a name for a backup that begins at *now*, after those of all others."""
        first = now.strftime("%Y%m%dT%H%M%SZ")
        taken = sum(name.startswith(first) for name in self.names())
        return f"{first}-{taken + 1}" if taken else first

    def manifest(self, name: str) -> Manifest | None:
        """Return the manifest of *name*; None for a backup that is incomplete."""
        file = self.path / name / MANIFEST
        try:
            text = file.read_bytes()
        except FileNotFoundError:
            return None
        try:
            found = msgspec.json.decode(text, type=Manifest)
        except msgspec.MsgspecError as error:
            version = re.search(rb'"format":\s*(\d+)', text)
            if version is not None and int(version[1]) > FORMAT:
                raise OperateError(
                    f"The backup {name} was made by a newer version of Sequence events. Install that version."
                ) from error
            raise OperateError(f"{file} is no manifest: {error}. Use another backup.") from error
        if found.name != name:
            raise OperateError(f"The backup {found.name} was renamed to {name}. Give it its name again.")
        if found.format > FORMAT:
            raise OperateError(
                f"The backup {name} was made by Sequence events {found.version}, which is newer. Install that version."
            )
        return found

    def complete(self) -> list[Manifest]:
        """Return the backups that are complete, oldest first."""
        return [found for name in self.names() if (found := self.manifest(name)) is not None]

    def choose(self, name: str | None) -> Manifest:
        """Return the backup *name*, the newest complete one if it is None; raises `ArgumentError` if there is none."""
        if name is None:
            if not (found := self.complete()):
                raise ArgumentError(f"{self.path} has no complete backup.")
            return found[-1]
        if name not in self.names():
            raise ArgumentError(f"{self.path} has no backup {name}. `sequence backup list {self.path}` shows all.")
        if (chosen := self.manifest(name)) is None:
            raise OperateError(
                f"The backup {name} is incomplete: the command that made it was interrupted. Use another."
            )
        return chosen

    def chain(self, manifest: Manifest) -> list[Manifest]:
        """Return *manifest* and the backups that it builds on, newest first; `OperateError` if one is missing."""
        found = [manifest]
        while (base := found[-1].base) is not None:
            earlier = self.manifest(base)
            if earlier is None:
                raise OperateError(
                    f"The backup {manifest.name} cannot be restored: it needs the files of {base}, which is not in "
                    f"{self.path}. Copy {base} back, or use a backup that does not need it."
                )
            found.append(earlier)
        return found

    def check_files(self, manifest: Manifest) -> None:
        """Raise `OperateError` unless every file that *manifest* needs is there with its size.

        Files of a backup that ClickHouse wrote to another place cannot be checked.
        """
        for each in self.chain(manifest):
            if each.destination is not None:
                continue
            for step, about in each.steps.items():
                index = self.path / each.name / step / _INDEX
                text = _read(index, each.name)
                if index_digest(text) != about.index_sha256:
                    raise OperateError(f"The backup {each.name} is damaged: {index} has changed. Use another backup.")
                for name, size in _own_files(text):
                    _check_size(index.parent / name, size, each.name)

    def relocate(self, manifest: Manifest) -> None:
        """Let ClickHouse find the bases of *manifest* here, if the directory was moved or copied since."""
        for each in self.chain(manifest):
            if each.base is None or each.destination is not None:
                continue
            for step in each.steps:
                index = self.path / each.name / step / _INDEX
                base = f"File({literal(str(self.path / each.base / step))})"
                text = _read(index, each.name)
                found = _BASE.search(text)
                if found is not None and unescape(found[1], _XML) != base:
                    start, end = found.span(1)
                    written = index.with_name(f"{_INDEX}.new")
                    written.write_text(text[:start] + escape(base) + text[end:], encoding="utf-8")
                    written.replace(index)

    def index_digest(self, name: str, step: str) -> str:
        """Return the digest of the list of files that *step* of the backup *name* has in this directory."""
        return index_digest(_read(self.path / name / step / _INDEX, name))

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest, whole or not at all, once all other files of the backup are on the disk."""
        directory = self.path / manifest.name
        write_private(directory / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_private(file: Path, content: bytes) -> None:
    """Write *file*, whole or not at all, to the disk; only its owner can read it."""
    unfinished = file.with_name(f".{file.name}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    unfinished.replace(file)


def index_digest(text: str) -> str:
    """Return the SHA-256 of ClickHouse's list of files *text*, without the place of the base."""
    return hashlib.sha256(_BASE.sub("", text).encode()).hexdigest()


def _read(index: Path, name: str) -> str:
    try:
        return index.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise OperateError(f"The backup {name} cannot be restored: {index} is missing. Use another backup.") from None


def _own_files(index: str) -> Iterator[tuple[str, int]]:
    """Yield name and size of each file that ClickHouse wrote itself: neither in the base nor a copy of another."""
    for entry in _FILE.finditer(index):
        fields = dict(_FIELD.findall(entry[1]))
        if not fields.keys() & {"use_base", "base_size", "data_file"} and int(fields["size"]):
            yield unescape(fields["name"], _XML), int(fields["size"])


def _check_size(file: Path, size: int, name: str) -> None:
    try:
        found = file.stat().st_size
    except FileNotFoundError:
        raise OperateError(f"The backup {name} cannot be restored: {file} is missing. Use another backup.") from None
    if found != size:
        raise OperateError(
            f"The backup {name} is damaged: {file} has {found} bytes in place of {size}. Use another backup."
        )
