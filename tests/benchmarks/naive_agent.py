"""Naive dedupe agent in Faust: a table, a test, a send. Arguments: `BROKER INPUT OUTPUT DIRECTORY`."""

from __future__ import annotations

import sys
from typing import Any

import faust


def main(broker: str, source: str, target: str, directory: str) -> None:
    """Run the agent until it is stopped."""
    app = faust.App(
        f"naive-{source}",
        broker=f"kafka://{broker}",
        store="rocksdb://",
        datadir=directory,
        table_cleanup_interval=3600,
        topic_partitions=4,
        web_enabled=False,
        consumer_auto_offset_reset="earliest",
    )
    items = app.topic(source, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    events: Any = app.topic(target, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw")
    seen: Any = app.Table("seen", key_type=bytes, value_type=int)

    @app.agent(items)
    async def dedupe(stream: Any) -> None:
        async for event in stream.events():
            if event.key not in seen:
                seen[event.key] = event.message.offset
                await events.send(key=event.key, value=event.value)

    worker = faust.Worker(app, loglevel="warn", quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main(*sys.argv[1:])
