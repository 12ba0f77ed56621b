"""Reads README.md: its sections, its fenced blocks and its tables, for the tests that hold them against the code."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
README = ROOT / "README.md"

_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_STRINGIFIED = re.compile(r"JSON\.stringify\((.*?)\),?\n\}\)", re.DOTALL)
_HEADERS = re.compile(r"headers: \{(.*?)\},\n", re.DOTALL)
_HEADER = re.compile(r"'([\w-]+)': [`']([^`']+)[`']")
_FETCHED = re.compile(r"fetch\('([^']+)'")


@dataclass(frozen=True, slots=True)
class Request:
    """What an example sends."""

    url: str
    headers: dict[str, str]
    body: str


def text() -> str:
    """Return README.md."""
    return README.read_text(encoding="utf-8")


def section(title: str) -> str:
    """Return what stands under the heading *title*, up to the next heading of any level."""
    parts = _HEADING.split(_without_blocks(text()))
    return parts[parts.index(title) + 1]


def blocks(language: str) -> list[str]:
    """Return the content of every fenced block of *language*."""
    return [content for name, content in _BLOCK.findall(text()) if name == language]


def block(language: str, containing: str) -> str:
    """Return the one block of *language* that holds *containing*."""
    [found] = [content for content in blocks(language) if containing in content]
    return found


def rows(title: str) -> list[list[str]]:
    """Return the rows of the table under *title*, without its head."""
    lines = [line for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def curl(containing: str, **variables: str) -> Request:
    """Return what the `curl` line that holds *containing* sends, with shell *variables* put in."""
    script = block("bash", containing)
    for name, value in variables.items():
        script = script.replace(f"${name}", value)
    [words] = [words for words in _commands(script) if words[0] == "curl"]
    url, headers, body = "", {}, ""
    following = iter(words[1:])
    for word in following:
        if word == "-H":
            name, _, value = next(following).partition(": ")
            headers[name] = value
        elif word in {"-d", "--data-binary"}:
            body = next(following)
        elif word == "--user":
            user, _, password = next(following).partition(":")
            headers |= {"X-ClickHouse-User": user, "X-ClickHouse-Key": password}
        elif not word.startswith("-"):
            url = word
    return Request(url, headers, body)


def fetch(**variables: str) -> Request:
    """Return what the `fetch` example sends, with environment *variables* put in; its object is JSON as well."""
    script = block("js", "fetch(")
    for name, value in variables.items():
        script = script.replace(f"${{process.env.{name}}}", value)
    [url], [body] = _FETCHED.findall(script), _STRINGIFIED.findall(script)
    [headers] = _HEADERS.findall(script)
    return Request(url, dict(_HEADER.findall(headers)), json.dumps(json.loads(body)))


def items(request: Request) -> list[Any]:
    """Return the items that *request* sends."""
    found: list[Any] = json.loads(request.body)["batch"]
    return found


def _commands(script: str) -> list[list[str]]:
    """Return the words of each command of *script*: one stands on one line, or ends where its quotes do."""
    commands: list[list[str]] = []
    pending = ""
    for line in script.splitlines():
        pending = f"{pending}\n{line}" if pending else line
        try:
            words = shlex.split(pending.replace("\\\n", " "), comments=True)
        except ValueError:  # a quote is still open
            continue
        if pending.endswith("\\"):
            continue
        pending = ""
        if words:
            commands.append(words)
    return commands


def _without_blocks(markdown: str) -> str:
    return _BLOCK.sub("", markdown)
