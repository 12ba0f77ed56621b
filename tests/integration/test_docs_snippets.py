"""The snippets of the HTTP page run as they are shown, apart from the address and the token, against a gateway."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.settings import GatewaySettings
from tests.integration.served import TOKEN, Served, serving
from tests.support.documents import page

HTTP = page("docs/http.md")
ADDRESS = "127.0.0.1:8080"
GO = "/usr/local/go/bin"
PROGRAMS = {
    "requests": ("python", "import requests", "send.py", [sys.executable]),
    "http.client": ("python", "http.client", "send.py", [sys.executable]),
    "fetch": ("js", "fetch(", "send.mjs", ["node"]),
    "node:http": ("javascript", "node:http", "send.cjs", ["node"]),
    "PHP": ("php", "stream_context_create", "send.php", ["php"]),
    "Go": ("go", "net/http", "send.go", ["go", "run"]),
    "Java": ("java", "java.net.http", "Send.java", ["java"]),
    "Ruby": ("ruby", "net/http", "send.rb", ["ruby"]),
}
SECONDS = 150
"""Go compiles its standard library first."""


@pytest.fixture
async def gateway() -> AsyncIterator[Served]:
    async with serving(GatewaySettings(cors_origins="null")) as served:
        yield served


def path_of(program: str) -> str:
    """Return the path of *program*, and skip the test if it is not installed."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:{GO}")
    if found is None:
        pytest.skip(f"{program} is not installed")
    return found


def source_of(gateway: Served, language: str, containing: str) -> str:
    """Return the block of the page, with the address of *gateway*."""
    source = HTTP.block(language, containing)
    assert source.count(ADDRESS) == 1
    return source.replace(ADDRESS, f"127.0.0.1:{gateway.port}")


async def run(words: list[str], directory: Path) -> str:
    """Return what the command prints; fail if it fails."""
    environ = os.environ | {"TOKEN": TOKEN, "GOCACHE": str(directory / "go"), "GOFLAGS": "-mod=mod"}
    process = await asyncio.create_subprocess_exec(*words, cwd=directory, env=environ, stdout=PIPE, stderr=PIPE)
    async with asyncio.timeout(SECONDS):
        stdout, stderr = await process.communicate()
    assert process.returncode == 0, stderr.decode()
    return stdout.decode()


@pytest.mark.timeout(SECONDS + 30)
@pytest.mark.parametrize("name", PROGRAMS)
async def test_snippet_sends_its_item(gateway: Served, tmp_path: Path, name: str) -> None:
    language, containing, file, (program, *options) = PROGRAMS[name]
    command = [path_of(program), *options]
    (tmp_path / file).write_text(source_of(gateway, language, containing))

    printed = await run([*command, file], tmp_path)

    assert "200" in printed
    assert '"accepted":1' in printed
    [item] = gateway.written()
    assert (item["userId"], item["type"]) == ("ada", "track")


async def test_curl_snippet_sends_its_items(gateway: Served, tmp_path: Path) -> None:
    path_of("curl")
    (tmp_path / ".sequence").mkdir()
    (tmp_path / ".sequence" / "dev-token").write_text(f"{TOKEN}\n")

    printed = await run(["/bin/sh", "-ec", source_of(gateway, "bash", "/event/batch")], tmp_path)

    assert '"accepted":1,"rejected":1' in printed
    assert [item["messageId"] for item in gateway.written()] == ["order-1"]


async def test_beacon_snippet_sends_when_the_page_ends(gateway: Served, tmp_path: Path) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("Chromium is not installed")
    source = source_of(gateway, "js", "sendBeacon").replace("<token>", TOKEN)
    leave = "addEventListener('load', () => setTimeout(() => { location = 'about:blank' }))"
    (tmp_path / "page.html").write_text(f"<!doctype html><script>{source}\n{leave}</script>")
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
    process = await asyncio.create_subprocess_exec(
        *(chromium, *flags, "--disable-dev-shm-usage", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--remote-debugging-port=0", (tmp_path / "page.html").as_uri()),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        async with asyncio.timeout(45):
            while not gateway.written():  # noqa: ASYNC110  # the other side of a socket writes it
                await asyncio.sleep(0.05)
    finally:
        process.terminate()
        await process.wait()

    assert [item["event"] for item in gateway.written()] == ["Page Left"]
