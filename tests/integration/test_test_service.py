"""The test service, and the example of `docs/testing.md` as its script runs it: real Kafka, pytest, Playwright."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from ruamel.yaml import YAML

from tests.sdk.chromium import executable
from tests.sdk.install import NODE, NPM, node_packages
from tests.support.console_document import DOCUMENT, check
from tests.support.console_stack import ConsoleStack
from tests.support.documents import ROOT, page
from tests.support.services import eventually, free_port

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

TESTING = page("docs/testing.md")
LOCK = ROOT / "tests" / "tracking" / "package-lock.json"
FILES = {
    "shop.py": ("python", "# shop.py"),
    "test_tracking.py": ("python", "# test_tracking.py"),
    "site/shop.html": ("html", "<!-- site/shop.html -->"),
    "tracking.spec.js": ("js", "// tracking.spec.js"),
    "playwright.config.js": ("js", "// playwright.config.js"),
    "test-tracking.sh": ("bash", "# test-tracking.sh"),
}
PARTS = ("pytest test_tracking.py", "npx playwright test")
ROUNDS = 40


class Example:
    """The files of the page in a directory, and what their script has started."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stack = ConsoleStack(directory)
        self.site = free_port()
        self.console = self.stack.url.rstrip("/")
        self.gateway = f"http://127.0.0.1:{self.stack.gateway}"
        self.log = directory / "script.log"
        self._process: subprocess.Popen[bytes] | None = None
        for name, (language, containing) in FILES.items():
            file = directory / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(self._adapted(TESTING.block(language, containing)))
        (directory / ".venv").symlink_to(sys.prefix)
        (directory / "node_modules").symlink_to(node_packages("tracking", LOCK) / "node_modules")
        self.environ = {name: value for name, value in self.stack.environ.items() if name != "SEQUENCE_STATE_DIR"}
        self.environ |= {"CHROMIUM": executable() or "", "PATH": f"{self._with_npx()}:{os.environ['PATH']}"}

    def _with_npx(self) -> Path:
        """Return a directory with the `npx` of the development dependencies."""
        directory = self.directory / "bin"
        directory.mkdir()
        (directory / "node").symlink_to(NODE)
        npx = directory / "npx"
        npx.write_text(f'#!/bin/sh\nexec {NODE} {NPM.with_name("npx-cli.js")} "$@"\n')
        npx.chmod(0o755)
        return directory

    def _adapted(self, text: str) -> str:
        """Return *text* with the ports of this stack."""
        for port, own in (("8090", self.console.rpartition(":")[2]), ("8080", str(self.stack.gateway))):
            text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:{own}")
        return re.sub(r"\b8000\b", str(self.site), text)

    def start(self) -> None:
        """Run the script up to its end, and keep what it has started."""
        script = (self.directory / "test-tracking.sh").read_text()
        assert script.endswith("\n".join([f".venv/bin/{PARTS[0]}", PARTS[1], ""]))
        kept = f"{script}\necho \"export READ_TOKEN='$READ_TOKEN' WRITE_KEY='$WRITE_KEY'\" > tokens\ncat\n"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-c", kept],
                cwd=self.directory,
                env=self.environ,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        process = self._process
        eventually(
            lambda: (self.directory / "tokens").exists() or process.poll() is not None,
            "the script has passed",
            within_seconds=200,
        )
        logs = "\n".join(file.read_text() for file in (self.log, self.directory / "sequence.log") if file.exists())
        assert process.poll() is None, logs
        tokens = re.findall(r"'([^']*)'", (self.directory / "tokens").read_text())
        self.read_token, self.write_key = tokens

    def stop(self) -> int:
        """Let the script end, and return its exit code; it stops what it has started."""
        assert self._process is not None
        try:
            self._process.communicate(timeout=60)
        finally:
            self._process.send_signal(signal.SIGTERM)
        return self._process.returncode

    def run(self, part: str) -> subprocess.CompletedProcess[str]:
        """Run one of the last lines of the script again."""
        command = f". ./tokens; {part if part.startswith('npx') else f'.venv/bin/{part}'}"
        return subprocess.run(
            ["bash", "-c", command], cwd=self.directory, env=self.environ, capture_output=True, text=True, check=False
        )

    def ask(self, path: str, method: str = "GET", token: str | None = None, **parameters: str) -> requests.Response:
        """Return the reply of the test service to *token*, by default that of the reader; check it by the document."""
        headers = {"Authorization": f"Bearer {self.read_token if token is None else token}"}
        url = f"{self.console}/test/{path}"
        reply = requests.request(method, url, params=parameters, headers=headers, timeout=20)
        described = f"/test/{path.partition('?')[0]}"
        if method.lower() in DOCUMENT["paths"][described]:
            check(reply.json(), described, reply.status_code, method.lower())
        return reply

    def send(self, *items: Any) -> None:
        """Send *items* in one request."""
        headers = {"Authorization": f"Bearer {self.write_key}"}
        reply = requests.post(f"{self.gateway}/event/batch", json={"batch": items}, headers=headers, timeout=20)
        assert reply.status_code == 200, reply.text


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Example]:
    if executable() is None:
        pytest.skip("Chromium is not installed")
    example = Example(tmp_path_factory.mktemp("example"))
    example.start()
    yield example
    assert example.stop() == 0, example.log.read_text()


def track(number: int, **fields: Any) -> dict[str, Any]:
    return {"type": "track", "userId": "ada", "event": "Counted", "messageId": f"m-{number}", **fields}


def test_script_of_the_page_passes_with_the_tracking_that_it_tests(example: Example) -> None:
    log = example.log.read_text()

    assert "2 passed" in log
    assert "1 passed" in log


@pytest.mark.parametrize(
    ("file", "old", "new", "part"),
    [
        ("shop.py", '"userId": user_id', '"userId": ""', PARTS[0]),
        ("site/shop.html", "total: 42.5", "total: '42.5'", PARTS[1]),
    ],
)
def test_example_fails_when_the_tracking_is_broken(example: Example, file: str, old: str, new: str, part: str) -> None:
    source = example.directory / file
    intact = source.read_text()
    assert intact.count(old) == 1
    source.write_text(intact.replace(old, new))
    try:
        done = example.run(part)
    finally:
        source.write_text(intact)

    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"\b[12] failed\b", done.stdout), done.stdout
    assert " passed" not in done.stdout


def test_answer_is_exact_between_a_reset_and_the_request(example: Example) -> None:
    async def rounds() -> list[tuple[int, int, int]]:
        found = []
        read, write = ({"Authorization": f"Bearer {token}"} for token in (example.read_token, example.write_key))
        service = f"{example.console}/test"
        async with aiohttp.ClientSession() as session:
            for number in range(ROUNDS):
                items = [track(1000 * number + each) for each in range(number + 1)]
                async with session.post(f"{service}/reset", headers=read) as reply:
                    assert await reply.json() == {"count": 0, "items": []}
                body = {"batch": [*items, track(-1, event="")]}
                async with session.post(f"{example.gateway}/event/batch", json=body, headers=write) as reply:
                    assert reply.status == 200
                counts = []
                for path in ("accepted", "rejected"):
                    async with session.get(f"{service}/{path}", headers=read) as reply:
                        answer = await reply.json()
                        assert answer["count"] == len(answer["items"])
                        counts.append(answer["count"])
                found.append((number + 1, *counts))
        return found

    assert asyncio.run(rounds()) == [(number + 1, number + 1, 1) for number in range(ROUNDS)]


def test_items_are_selected_and_each_message_id_is_shown_once(example: Example) -> None:
    example.ask("reset", "POST")
    user = {"type": "identify", "userId": "grace", "messageId": "i-1", "traits": {"plan": "pro"}}
    example.send(track(1), track(2, event="Other"), track(3, userId="grace"), user)
    example.send(track(1), {"type": "track", "userId": "ada", "messageId": "bad"}, {"type": "track", "event": "E"})

    def ids(path: str, **parameters: str) -> list[str | None]:
        return sorted(item["messageId"] for item in example.ask(path, **parameters).json()["items"])

    assert ids("accepted") == ["i-1", "m-1", "m-2", "m-3"]
    assert ids("accepted", event="Counted") == ["m-1", "m-3"]
    assert ids("accepted", userId="grace") == ["i-1", "m-3"]
    assert ids("accepted", type="identify") == ["i-1"]
    assert ids("accepted", event="counted") == []
    assert example.ask("accepted").json()["duplicates"] == 1
    [bad] = example.ask("rejected", code="event_required").json()["items"]
    assert (bad["messageId"], bad["stage"], bad["content"]["userId"]) == ("bad", "gateway", "ada")
    assert example.ask("rejected").json()["count"] == 2


def test_answer_has_the_members_that_the_page_shows(example: Example) -> None:
    example.ask("reset", "POST")
    example.send(track(1, properties={"total": 42.5, "currency": "EUR"}))
    shown = YAML(typ="safe").load(TESTING.block("json", '"duplicates"'))

    answer = example.ask("accepted").json()

    assert list(answer) == list(shown)
    assert list(answer["items"][0]) == list(shown["items"][0])
    assert list(shown["items"][0]["content"]) == [
        name for name in answer["items"][0]["content"] if name in shown["items"][0]["content"]
    ]


def test_reset_of_a_project_leaves_another(example: Example) -> None:
    operate = (example.directory / ".sequence" / "operate-token").read_text().strip()
    example.ask("reset", "POST")
    example.send(track(1))
    created = example.run("sequence project create other")
    assert created.returncode == 0, created.stderr

    def other() -> int:
        return example.ask("reset", "POST", operate, project="other").status_code

    eventually(lambda: other() == 200, "the console knows the project")
    assert example.ask("accepted", token=operate, project="dev").json()["count"] == 1
    assert example.ask("accepted", token=operate, project="other").json()["count"] == 0


@pytest.mark.parametrize(
    ("path", "token", "status", "says"),
    [
        ("accepted", "WRITE", 403, "sequence token create dev --scope read"),
        ("accepted", "unknown", 401, "--scope read"),
        ("accepted", "OPERATE", 400, "project: must be given"),
        ("accepted?type=page", "READ", 400, "type: must be one of track, identify"),
        ("accepted?code=x", "READ", 400, "Unknown parameter 'code'"),
        ("rejected?project=other", "READ", 403, "other_project"),
        ("reset", "READ", 405, "Send POST to /test/reset"),
    ],
)
def test_request_that_cannot_be_answered_says_what_to_do(
    example: Example, path: str, token: str, status: int, says: str
) -> None:
    operate = (example.directory / ".sequence" / "operate-token").read_text().strip()
    known = {"READ": example.read_token, "WRITE": example.write_key, "OPERATE": operate}

    reply = example.ask(path, token=known.get(token, token))

    assert (reply.status_code, says in reply.text) == (status, True), reply.text


def test_job_of_the_page_installs_and_runs_what_the_page_says() -> None:
    [job] = YAML(typ="safe").load(TESTING.block("yaml", "jobs:"))["jobs"].values()
    commands = [step["run"].strip() for step in job["steps"] if "run" in step]

    assert commands == [TESTING.block("bash", "npx playwright install").strip(), "bash test-tracking.sh"]


def test_documented_files_are_the_only_code_of_the_page() -> None:
    blocks = [block for language in ("python", "html", "js") for block in TESTING.blocks(language)]

    assert len(blocks) == len(FILES) - 1
    assert shutil.which("bash")
