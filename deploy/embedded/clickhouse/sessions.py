"""Sessions: a connection that several requests share by `session_id`, with its settings and temporary tables.

A connection never changes its role, so a GET of the writer does not share the session of its POST requests. A login
never gets the session of another one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from deploy.embedded.clickhouse.errors import QueryError

DEFAULT_TIMEOUT_SECONDS = 60.0
MAX_TIMEOUT_SECONDS = 3600.0
MAX_SESSIONS = 256
"""Sessions of a login in a role at the same time."""


class SessionKey(NamedTuple):
    """The session of a request: user, role and ID, its timeout after the last request, and whether it must exist."""

    user: str
    role: str
    id: str
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    must_exist: bool = False


@dataclass(slots=True)
class _Session:
    connection: Any
    expires: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class Sessions:
    """All sessions of the engine. Thread-safe."""

    def __init__(self, connect: Callable[[str], Any]) -> None:
        self._connect = connect
        self._sessions: dict[tuple[str, str, str], _Session] = {}
        self._lock = threading.Lock()

    @contextmanager
    def use(self, key: SessionKey) -> Iterator[Any]:
        """Yield the connection of a session; raises `QueryError` while another request uses it, as a server does."""
        with self._lock:
            self._drop_expired()
            session = self._sessions.get((key.user, key.role, key.id))
            if session is None:
                if key.must_exist:
                    raise QueryError(372, f"Session {key.id} not found")
                if sum((user, role) == key[:2] for user, role, _ in self._sessions) >= MAX_SESSIONS:
                    raise QueryError(202, f"Too many sessions: {MAX_SESSIONS} are open. Send no session_id, or wait.")
                session = self._sessions[key.user, key.role, key.id] = _Session(self._connect(key.role))
            if not session.lock.acquire(blocking=False):
                raise QueryError(373, f"Session {key.id} is locked by a concurrent client")
        try:
            yield session.connection
        finally:
            session.expires = time.monotonic() + min(key.timeout_seconds, MAX_TIMEOUT_SECONDS)
            session.lock.release()

    def close(self) -> None:
        """Close every session. None may be in use."""
        for session in self._sessions.values():
            session.connection.close()
        self._sessions.clear()

    def _drop_expired(self) -> None:
        now = time.monotonic()
        for key, session in list(self._sessions.items()):
            if not session.lock.locked() and session.expires < now:
                del self._sessions[key]
                session.connection.close()
