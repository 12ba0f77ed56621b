"""Live streams over real connections, without Kafka: slow pages, pages that leave, and a console that ends."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable

import aiohttp
import msgspec
import pytest

from deploy.console import live_stream
from deploy.console.app import LIVE
from deploy.console.items import Item
from deploy.console.live import QUEUE_BYTES, QUEUE_ITEMS, Live
from deploy.console.settings import ConsoleSettings
from tests.integration.console.served import Console, console


def item(number: int, *, project: str = "dev", content: str = "{}") -> Item:
    return Item(
        received_at="2026-01-31T12:00:00.000000Z",
        project_id=project,
        verdict="accepted",
        type="track",
        event="Clicked",
        user_id="ada",
        message_id=str(number),
        content=msgspec.Raw(content.encode()),
    )


async def until(condition: Callable[[], object], what: str, within_seconds: float = 20.0) -> None:
    deadline = asyncio.get_running_loop().time() + within_seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


async def opened(served: Console, token: str, query: str = "") -> aiohttp.ClientResponse:
    url = f"http://127.0.0.1:{served.port}/api/live{query}"
    reply = await served.session.get(url, headers={"Authorization": f"Bearer {token}"})
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-cache"
    return reply


async def events(reply: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, dict[str, object]]]:
    name = ""
    async for line in reply.content:
        key, _, value = line.decode().rstrip("\n").partition(": ")
        if key == "event":
            name = value
        elif key == "data":
            yield name, json.loads(value)


async def test_page_gets_its_items_in_order_and_is_told_what_it_missed() -> None:
    async with console() as served:
        live = served.app[LIVE]
        reply = await opened(served, served.projects.read)
        for number in range(QUEUE_ITEMS + 50):
            live.show(item(number))
            live.show(item(number, project="other"))
        shown, skipped = [], 0
        async for name, data in events(reply):
            if name == "item":
                shown.append((data["projectId"], data["messageId"]))
            elif name == "skipped":
                skipped += int(str(data["count"]))
            if len(shown) + skipped == QUEUE_ITEMS + 50:
                break
        reply.close()

    assert skipped >= 40
    assert shown == [("dev", str(number)) for number in range(skipped, QUEUE_ITEMS + 50)]


async def test_page_that_leaves_frees_its_stream() -> None:
    async with console(settings=ConsoleSettings(live_streams=1)) as served:
        for _ in range(3):
            reply = await opened(served, served.projects.read)
            served.app[LIVE].show(item(1))
            reply.close()
            await until(lambda: not served.app[LIVE]._streams, "the stream is free")
        assert served.app[LIVE]._running is None, "nothing is read without a page"
        names = [task.get_coro().__qualname__ for task in asyncio.all_tasks()]  # type: ignore[union-attr]  # a coroutine
        assert [name for name in names if "EventSource" in name or "LiveSender" in name] == []


async def test_page_that_does_not_read_is_closed_and_keeps_its_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_stream, "SEND_SECONDS", 1.0)
    async with console() as served:
        live = served.app[LIVE]
        with silent_client(served) as client:
            await until(lambda: live._streams, "the stream is open")
            (stream,) = live._streams
            number, most = 0, 0
            while live._streams:
                number += 1
                live.show(item(number, content=json.dumps("x" * 30_000)))
                most = max(most, stream._bytes)
                assert stream.waiting <= QUEUE_ITEMS
                await asyncio.sleep(0.001)
                assert number < 60_000
            assert number > QUEUE_ITEMS
            assert most <= QUEUE_BYTES + 40_000
            assert client.fileno() > 0


def silent_client(served: Console) -> socket.socket:
    """Ask for a stream, and read nothing of it."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", served.port))
    head = f"GET /api/live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {served.projects.operate}\r\n\r\n"
    client.sendall(head.encode())
    return client


async def test_console_that_ends_ends_its_streams_soon() -> None:
    async with console() as served:
        reply = await opened(served, served.projects.read)
        began = asyncio.get_running_loop().time()
    assert asyncio.get_running_loop().time() - began < 5
    reply.close()


async def test_sixty_pages_share_the_limit() -> None:
    async with console(settings=ConsoleSettings(live_streams=50)) as served:
        headers = {"Authorization": f"Bearer {served.projects.operate}"}
        url = f"http://127.0.0.1:{served.port}/api/live"
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            replies = await asyncio.gather(*(session.get(url, headers=headers) for _ in range(60)))
            statuses = [reply.status for reply in replies]
            assert (statuses.count(200), statuses.count(503)) == (50, 10)
            served.app[LIVE].show(item(1))
            opens = [reply for reply in replies if reply.status == 200]
            async with asyncio.timeout(20):
                for reply in opens:
                    assert "item" in [name async for name, _ in up_to("item", events(reply))]
            for reply in replies:
                reply.close()
        live: Live = served.app[LIVE]
        await until(lambda: not live._streams, "every stream is free")


async def up_to(
    wanted: str, source: AsyncIterator[tuple[str, dict[str, object]]]
) -> AsyncIterator[tuple[str, dict[str, object]]]:
    """Yield events up to the first one of the name *wanted*."""
    async for name, data in source:
        yield name, data
        if name == wanted:
            return


async def test_stream_beyond_the_limit_is_refused_and_a_revoked_token_ends_its_stream() -> None:
    async with console(settings=ConsoleSettings(live_streams=2)) as served:
        streams = [await open_stream(served, served.projects.read), await open_stream(served, served.projects.other)]
        refused = await served.get("/api/live", served.projects.operate)
        assert (refused.status, refused.json["code"]) == (503, "too_many_streams")

        served.projects.revoke(served.projects.read)
        began = asyncio.get_running_loop().time()
        ended = await asyncio.wait_for(streams[0].content.read(), 5)
        assert asyncio.get_running_loop().time() - began < 2
        assert b'event: end\ndata: {"code":"unauthorized"}' in ended
        (await open_stream(served, served.projects.operate)).close()
        for stream in streams:
            stream.close()


async def open_stream(served: Console, token: str) -> aiohttp.ClientResponse:
    reply = await served.session.get(
        f"http://127.0.0.1:{served.port}/api/live", headers={"Authorization": f"Bearer {token}"}
    )
    assert (reply.status, reply.content_type) == (200, "text/event-stream")
    return reply
