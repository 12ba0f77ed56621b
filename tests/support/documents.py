"""Reads the Markdown pages, so that tests can compare their sections, blocks, tables, links and anchors to the code."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent

_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
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

    @property
    def items(self) -> list[Any]:
        """The items of its batch."""
        found: list[Any] = json.loads(self.body)["batch"]
        return found


@dataclass(frozen=True)
class Page:
    """A Markdown file of the repository."""

    path: Path

    def __str__(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def text(self) -> str:
        """The whole page."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """The page without its fenced blocks."""
        return _BLOCK.sub("", self.text)

    def section(self, title: str) -> str:
        """Return what follows the heading *title*, up to the next heading of any level."""
        parts = _HEADING.split(self.prose)
        return parts[parts.index(title) + 1]

    def blocks(self, language: str) -> list[str]:
        """Return the content of every fenced block of *language*."""
        return [content for name, content in _BLOCK.findall(self.text) if name == language]

    def block(self, language: str, containing: str) -> str:
        """Return the only block of *language* that contains *containing*."""
        [found] = [content for content in self.blocks(language) if containing in content]
        return found

    def rows(self, title: str, table: int = 0) -> list[list[str]]:
        """Return the rows of a table in the section *title*, without the head; *table* counts from 0."""
        tables = re.findall(r"(?:^\|.*\n?)+", self.section(title), re.MULTILINE)
        return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in tables[table].splitlines()[2:]]

    def names(self, title: str, table: int = 0) -> list[str]:
        """Return every name in backticks in the first column of a table."""
        return [name for row in self.rows(title, table) for name in quoted(row[0])]

    def links(self) -> list[str]:
        """Return the target of every link, as it is written."""
        return _LINK.findall(self.prose)

    def anchors(self) -> set[str]:
        """Return the anchors that GitHub gives the headings."""
        return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in _HEADING.findall(self.prose)}

    def commands(self) -> Iterator[list[str]]:
        """Yield the words of every shell command of the page."""
        for script in self.blocks("bash"):
            yield from _commands(script)

    def curl(self, containing: str, **variables: str) -> Request:
        """Return the request of the `curl` command in the block that contains *containing*, with *variables* set."""
        script = self.block("bash", containing)
        for name, value in variables.items():
            script = script.replace(f"${name}", value)
        [words] = [words for words in _commands(script) if words[0] == "curl"]
        return _curl_request(words[1:])

    def fetch(self, **variables: str) -> Request:
        """Return the request of the `fetch` example, with environment *variables* set; its body is written as JSON."""
        script = self.block("js", "fetch(")
        for name, value in variables.items():
            script = script.replace(f"${{process.env.{name}}}", value)
        [url], [body] = _FETCHED.findall(script), _STRINGIFIED.findall(script)
        [headers] = _HEADERS.findall(script)
        return Request(url, dict(_HEADER.findall(headers)), json.dumps(json.loads(body)))


def quoted(cell: str) -> list[str]:
    """Return what *cell* has in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def page(path: str) -> Page:
    """Return the page at *path*, relative to the repository."""
    return Page(ROOT / path)


README = page("README.md")
PAGES = tuple(
    Page(path)
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
)
"""Every page of the documentation."""


def _curl_request(words: list[str]) -> Request:
    url, headers, body = "", {}, ""
    following = iter(words)
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


def _commands(script: str) -> list[list[str]]:
    """Return the words of each command of *script*. A command ends with its line, or where its last quote closes."""
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
