"""A server in place of ClickHouse that answers one request."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def answering(reply: bytes, *, keep_open: bool = False) -> Iterator[tuple[dict[str, str], Callable[[], bool]]]:
    """Yield the settings for a server that sends *reply* to any request, and whether one has arrived."""
    arrived, finished = threading.Event(), threading.Event()
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(reply)
            arrived.set()
            if keep_open:
                finished.wait(60)

    thread = threading.Thread(target=serve)
    thread.start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    try:
        yield {"SEQUENCE_CLICKHOUSE_URL": url, "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": "s3cret"}, arrived.is_set
    finally:
        finished.set()
        thread.join()
        server.close()
