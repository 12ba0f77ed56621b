"""Check that the `local` extra is installed, before its packages are imported."""

from __future__ import annotations

import re
from importlib import metadata

from deploy.errors import MissingExtraError

_DISTRIBUTION = "sequence-events"


def require() -> None:
    """Raise `MissingExtraError` with the packages of the `local` extra that are not installed."""
    requirements = [line for line in metadata.requires(_DISTRIBUTION) or [] if "extra == 'local'" in line]
    names = [match[0] for line in requirements if (match := re.match(r"[\w.-]+", line))]
    if missing := [name for name in names if not any(metadata.Distribution.discover(name=name))]:
        raise MissingExtraError(
            f"`sequence up` needs packages that are not installed: {', '.join(missing)}. "
            f"Install them with: pip install '{_DISTRIBUTION}[local]'"
        )
