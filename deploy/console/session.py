"""The cookie of a session: which token it stands for, and until when, signed. Pure.

The cookie does not have the token, because every program that listens on another port of this host gets it as well. A
session ends with its token. The key follows from a secret that every start of the console has, so that a restart ends
no session.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

COOKIE = "sequence_console"
SECONDS = 7 * 24 * 3600
"""How long a session lasts."""
_FORM = re.compile(r"1\.([0-9a-f]{64})\.([0-9]{10,11})\.([0-9a-f]{64})", re.ASCII)


class Sessions:
    """Signs and reads cookies. Without a *secret*, sessions end with the process."""

    def __init__(self, secret: str = "") -> None:
        text = secret or secrets.token_hex(32)
        self._key = hashlib.sha256(f"sequence console session\0{text}".encode()).digest()

    def sign(self, token_digest: str, now: float) -> str:
        """Return the value of the cookie for the token with the digest, from *now*, in seconds since 1970."""
        content = f"1.{token_digest}.{int(now) + SECONDS}"
        return f"{content}.{self._signature(content)}"

    def read(self, value: str, now: float) -> str | None:
        """Return the digest of the token that *value* stands for; None if it is forged or has expired."""
        found = _FORM.fullmatch(value)
        if found is None or not hmac.compare_digest(self._signature(value.rpartition(".")[0]), found[3]):
            return None
        return found[1] if now < int(found[2]) else None

    def _signature(self, content: str) -> str:
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()
