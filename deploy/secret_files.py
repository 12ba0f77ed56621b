"""Files with one secret each, for their owner alone: the development token and the generated passwords."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from deploy.errors import StateError

_PRIVATE = 0o600


def read(file: Path) -> str:
    """Return the secret in *file*, an empty text if there is none. Raises `StateError` if it cannot be read."""
    try:
        return file.read_text(encoding="utf-8").removesuffix("\n")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise StateError(f"Cannot read the secret file {file}: {reason}. Correct it, or delete it.") from error


def write(file: Path, secret: str) -> None:
    """Write *secret* to a file that only its owner can read, from the first byte on. Raises `StateError`."""
    unfinished = file.with_name(f".{file.name}.new")
    try:
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(f"{secret}\n")
        unfinished.replace(file)
    except OSError as error:
        raise StateError(
            f"Cannot write the secret file {file}: {error.strerror}. Make its directory writable."
        ) from error


def keep_password(file: Path, given: str) -> str:
    """Return the password of *file*: *given* if it is not empty, else the stored one, else a new one. Store it."""
    stored = read(file)
    password = given or stored or secrets.token_hex(16)
    # A file that was copied with other permissions is written again.
    if password != stored or file.stat().st_mode & 0o777 != _PRIVATE:
        write(file, password)
    return password
