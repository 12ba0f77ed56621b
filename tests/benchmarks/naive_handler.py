"""Naive gateway: an aiohttp handler that sends each item of a batch. Arguments: `BROKER TOPIC PORT`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import orjson
import uvloop
from aiohttp import web
from aiokafka import AIOKafkaProducer


def application(broker: str, topic: str) -> web.Application:
    """Return an application with the handler."""
    app = web.Application()
    producers: list[AIOKafkaProducer] = []

    async def connect(_: web.Application) -> AsyncIterator[None]:
        producer = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True)
        await producer.start()
        producers.append(producer)
        yield
        await producer.stop()

    async def collect(request: web.Request) -> web.Response:
        batch = orjson.loads(await request.read())["batch"]
        producer = producers[0]
        sent = [await producer.send(topic, orjson.dumps(item), key=item["messageId"].encode()) for item in batch]
        await asyncio.gather(*sent)
        return web.json_response({"accepted": len(batch)})

    async def ready(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app.cleanup_ctx.append(connect)
    app.router.add_post("/event/batch", collect)
    app.router.add_get("/health/ready", ready)
    return app


def main(broker: str, topic: str, port: str) -> None:
    """Serve until the process is stopped."""
    uvloop.install()
    loop = asyncio.new_event_loop()
    web.run_app(application(broker, topic), host="127.0.0.1", port=int(port), access_log=None, print=None, loop=loop)


if __name__ == "__main__":
    main(*sys.argv[1:])
