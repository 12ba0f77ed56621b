"""A secret setting can come from a file: the variable with the suffix `_FILE` names it, as in Docker's official images.

A file can be given to one process alone, and does not appear in the list of a container's variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SUFFIX = "_FILE"


def read(variable: str, environ: Mapping[str, str]) -> str | None:
    """Return the secret of *variable*: its own value unless that is empty, otherwise the content of its file.

    One newline at the end of the file does not count. None if neither is set. Raises ValueError, for a message that
    begins with the variable's name, if both are set or the file cannot be read.
    """
    text, file = environ.get(variable), environ.get(f"{variable}{SUFFIX}")
    if not file:
        return text
    if text:
        raise ValueError(f"must not be set together with {variable}{SUFFIX}")
    try:
        return Path(file).read_text(encoding="utf-8").removesuffix("\n")
    except OSError as error:
        raise ValueError(f"cannot be read from {file!r} ({variable}{SUFFIX}): {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot be read from {file!r} ({variable}{SUFFIX}): not UTF-8") from error
