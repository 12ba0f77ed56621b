"""Settings of the console."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from schemas.settings import Count, setting


@dataclass(frozen=True, slots=True)
class ConsoleSettings:
    """Where the console listens, and how much it may do. Kafka and ClickHouse are those of the commands."""

    host: str = setting("SEQUENCE_CONSOLE_HOST", "127.0.0.1", "Address at which the console listens")
    # 0 lets the operating system choose, which is of use to tests.
    port: Annotated[int, Meta(ge=0, le=65535)] = setting(
        "SEQUENCE_CONSOLE_PORT", 8090, "Port at which the console listens"
    )
    allowed_hosts: str = setting(
        "SEQUENCE_CONSOLE_ALLOWED_HOSTS",
        "",
        "Host names under which browsers reach the console, comma-separated",
    )
    live_streams: Count = setting(
        "SEQUENCE_CONSOLE_LIVE_STREAMS", 50, "Maximum number of pages that show live items at the same time"
    )
    audit: bool = setting(
        "SEQUENCE_CONSOLE_AUDIT",
        True,  # noqa: FBT003  # the default, as for every setting
        "Whether the console repeats the audit of the last hour; of several consoles, one is enough",
    )
    test_service: bool = setting(
        "SEQUENCE_CONSOLE_TEST_SERVICE",
        False,  # noqa: FBT003  # the default, as for every setting
        "Whether the console answers `/test/`, the test service for tracking code",
    )
