"""A plain HTTP client of ClickHouse, which sends what curl would send."""

from __future__ import annotations

import http.client
import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode, urlsplit

from schemas.clickhouse.replicated import cluster_settings
from schemas.settings import ClickHouseSettings

TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply of the server."""

    status: int
    content: bytes
    headers: Mapping[str, str]

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode()

    @property
    def code(self) -> int | None:
        """ClickHouse's error code, None without an error."""
        code = self.headers.get("x-clickhouse-exception-code")
        return None if code is None else int(code)

    @property
    def written_rows(self) -> int:
        """Number of rows written, by the summary header."""
        return int(json.loads(self.headers["x-clickhouse-summary"])["written_rows"])


@dataclass(frozen=True, slots=True)
class ClickHouseHttp:
    """Sends requests to *url* with the login of *user* and *password*, or else the one in *url*."""

    url: str
    user: str = ""
    password: str = ""
    timeout_seconds: float = TIMEOUT_SECONDS
    settings: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, settings: ClickHouseSettings, database: str | None = None) -> Self:
        """Return a client for the database of *settings*, or for *database*.

        Unlike the product's client it asks the server nothing before its first statement.
        """
        given = cluster_settings(TIMEOUT_SECONDS) if settings.cluster else {}
        given |= {"database": settings.database if database is None else database}
        return cls(settings.url, settings.username, settings.password, settings=given)

    def send(
        self,
        body: str | bytes = b"",
        *,
        method: str = "POST",
        headers: Mapping[str, str] | None = None,
        **parameters: Any,
    ) -> Reply:
        """Send one request with *parameters* in the query string."""
        connection = http.client.HTTPConnection(self.netloc, timeout=self.timeout_seconds)
        try:
            connection.request(
                method,
                f"/?{urlencode({**self.settings, **parameters})}",
                body.encode() if isinstance(body, str) else body,
                {**self._login(), **(headers or {})},
            )
            response = connection.getresponse()
            return Reply(
                response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
            )
        finally:
            connection.close()

    @property
    def netloc(self) -> str:
        """Host and port."""
        return urlsplit(self.url).netloc.rpartition("@")[2]

    def _login(self) -> dict[str, str]:
        url = urlsplit(self.url)
        user, password = (self.user, self.password) if self.user else (url.username, url.password)
        return {} if user is None else {"Authorization": f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"}

    def query(self, sql: str, **parameters: Any) -> str:
        """Return the result of *sql* without its last newline; fail on an error."""
        reply = self.send(sql, **parameters)
        assert reply.status == 200, reply.text
        return reply.text.removesuffix("\n")

    def rows(self, sql: str, **parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of *sql* by the names of their columns; fail on an error."""
        return [json.loads(line) for line in self.query(sql, default_format="JSONEachRow", **parameters).splitlines()]
