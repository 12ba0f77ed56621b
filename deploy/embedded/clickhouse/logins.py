"""Logins of projects: a file beside the data, which `sequence analyst` writes and the server reads at each request.

The file has the SHA-256 of each password. Passwords are generated with 128 bits, so that the hash needs no salt.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deploy import secret_files
from deploy.errors import StateError

FILE = "analysts.json"
"""Name of the file in the state directory."""


class Login(msgspec.Struct, frozen=True, rename="camel"):
    """A login that reads the typed views of one project."""

    name: str
    project_id: str
    database: str
    """Database of the project's views."""
    password_sha256: str

    def has_password(self, password: str) -> bool:
        """Return whether *password* is that of the login."""
        return hmac.compare_digest(digest(password), self.password_sha256)


def digest(password: str) -> str:
    """Return the SHA-256 of *password* in hexadecimal digits."""
    return hashlib.sha256(password.encode(errors="surrogateescape")).hexdigest()


class LoginsFile:
    """The logins in a state directory. Methods raise `StateError` if the file cannot be used."""

    def __init__(self, state: Path) -> None:
        self._file = state / FILE
        self._read: tuple[int, int] | None = None
        self._logins: dict[str, Login] = {}

    def all(self) -> Mapping[str, Login]:
        """Return the logins by name. The file is read again only after it has changed."""
        try:
            status = self._file.stat()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise StateError(f"Cannot read {self._file}: {error.strerror}. Correct its permissions.") from error
        version = (status.st_mtime_ns, status.st_ino)
        if version != self._read:
            self._logins = self._load()
            self._read = version
        return self._logins

    @contextmanager
    def changing(self) -> Iterator[dict[str, Login]]:
        """Yield the logins to change, and write them at the end of the block; other commands wait for it."""
        lock = os.open(self._file.with_name(f".{FILE}.lock"), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            logins = self._load()
            yield logins
            text = msgspec.json.format(msgspec.json.encode(list(logins.values())), indent=2).decode()
            secret_files.write(self._file, text)
        finally:
            os.close(lock)

    def _load(self) -> dict[str, Login]:
        try:
            logins = msgspec.json.decode(secret_files.read(self._file) or "[]", type=list[Login])
        except msgspec.MsgspecError as error:
            raise StateError(
                f"{self._file} is no list of logins: {error}. Delete it, and create the logins again with "
                "`sequence analyst create`."
            ) from error
        return {login.name: login for login in logins}
