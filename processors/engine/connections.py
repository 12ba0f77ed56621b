"""Connections to brokers under uvloop, which refuses to write to a closed one by an error that aiokafka does not know.

Between a broker's death and the moment when aiokafka has noticed it, a request may be written to a closed transport:
asyncio drops it and tells of the connection's end, uvloop raises `RuntimeError`, which would end aiokafka's tasks for
fetching or sending for good (https://github.com/aio-libs/aiokafka/issues/1038).
"""

from __future__ import annotations

from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

_send = AIOKafkaConnection.send


def patch_closed_transport_error() -> None:
    """Let every connection of this process fail as aiokafka expects it: what was to be sent is sent again."""
    AIOKafkaConnection.send = _send_or_tell


def _send_or_tell(connection: Any, *arguments: Any, **named: Any) -> Any:
    try:
        return _send(connection, *arguments, **named)
    except RuntimeError as error:
        connection.close(reason=CloseReason.CONNECTION_BROKEN)
        raise KafkaConnectionError(f"the connection is closed: {error}") from error
