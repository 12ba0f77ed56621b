"""`sequence sql` on a server that answers nothing, and on one that takes its time. No test depends on a duration."""

from __future__ import annotations

import asyncio
import io
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from deploy import sql, sql_liveness
from deploy.errors import SqlError
from deploy.local import passwords, state_lock
from tests.support import services
from tests.support.clickhouse_http import ClickHouseHttp
from tests.support.loop_thread import LoopThread

PINGS = 3


def target(url: str) -> sql.Target:
    return sql.choose_target(
        {"SEQUENCE_CLICKHOUSE_URL": url, "SEQUENCE_CLICKHOUSE_ANALYST_PASSWORD": services.ANALYST_PASSWORD}, write=False
    )


def answer(url: str, statement: bytes) -> bytes:
    output = io.BytesIO()
    sql.run(target(url), statement, "TabSeparated", output)
    return output.getvalue()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[services.Service]:
    with services.running(services.embedded_clickhouse(tmp_path_factory.mktemp("clickhouse"))) as server:
        yield server


@pytest.mark.parametrize("statement", [b"SELECT 1", b"INSERT INTO t FORMAT TSV\n" + b"1\n" * 1_000_000])
def test_suspended_server_is_named_with_what_to_do(
    server: services.Service, monkeypatch: pytest.MonkeyPatch, statement: bytes
) -> None:
    monkeypatch.setattr(sql_liveness, "PAUSE_SECONDS", 0.1)
    monkeypatch.setattr(sql_liveness, "SILENT_SECONDS", 0.5)
    url = f"http://{ClickHouseHttp(server.address).netloc}"
    server.send(signal.SIGSTOP)
    try:
        with pytest.raises(SqlError) as error:
            answer(url, statement)
    finally:
        server.send(signal.SIGCONT)

    assert f"{url}/ accepts connections but has sent nothing for 0.5 s, not even an answer to /ping" in str(error.value)
    assert "Check the server and its load." in str(error.value)
    monkeypatch.undo()
    assert answer(url, b"SELECT 1") == b"1\n"


@pytest.fixture
def slow() -> Iterator[str]:
    """A server that answers a statement in two parts, and each only after further pings."""
    pings = 0
    changed: list[asyncio.Event] = []

    async def ping(_: web.Request) -> web.Response:
        nonlocal pings
        pings += 1
        for event in changed:
            event.set()
        # What a reverse proxy says about a path that it does not know is a sign as well.
        return web.Response(status=404)

    async def statement(request: web.Request) -> web.StreamResponse:
        event = asyncio.Event()
        changed.append(event)
        reply = web.StreamResponse()
        for part in (1, 2):
            while pings < PINGS * part:
                event.clear()
                await event.wait()
            if part == 1:
                await reply.prepare(request)
            await reply.write(b"%d\n" % part)
        return reply

    app = web.Application()
    app.router.add_get("/ping", ping)
    app.router.add_post("/", statement)
    runner = web.AppRunner(app)
    thread = LoopThread()
    thread.start()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread.run(_serve(runner, listening))
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.run(runner.cleanup())
    thread.stop()


async def _serve(runner: web.AppRunner, listening: socket.socket) -> None:
    await runner.setup()
    await web.SockSite(runner, listening).start()


def test_statement_has_no_limit_while_the_server_answers_pings(slow: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_liveness, "PAUSE_SECONDS", 0.01)

    assert answer(slow, b"SELECT 1") == b"1\n2\n"


def test_local_stack_that_is_suspended_is_resumed_by_hand(tmp_path: Path) -> None:
    (tmp_path / passwords.ANALYST_FILE).write_text("x\n")
    with state_lock.held(tmp_path):
        local = sql.choose_target({"SEQUENCE_STATE_DIR": str(tmp_path)}, write=False)

    assert local.if_silent == "`sequence status` shows its process id. Resume it with `kill -CONT` and this id."
