"""The files of the console's page: what they may contain, and that a wheel has them."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from deploy.console.static_files import FOLDER
from tests.support.documents import ROOT

VENDORED = FOLDER / "vendor"
OWN = [path for path in sorted(FOLDER.rglob("*")) if path.is_file() and VENDORED not in path.parents]
SCRIPTS = [path for path in OWN if path.suffix == ".js"]
NAMESPACE = "http://www.w3.org/2000/svg"
MARKUP = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|\beval\(|"
    r"new Function|setHTMLUnsafe|javascript:|setAttribute\(\s*[\"']style"
)
"""Ways in which a text becomes markup or code."""
UPLOT = {
    "uPlot.esm.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",  # pragma: allowlist secret
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",  # pragma: allowlist secret
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",  # pragma: allowlist secret
}
"""SHA-256 of the files of uPlot 1.6.32, the npm package `uplot`."""


def _named(path: Path) -> str:
    return path.relative_to(FOLDER).as_posix()


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_script_makes_no_text_to_markup(script: Path) -> None:
    assert MARKUP.findall(script.read_text()) == []


def test_control_markup_is_found() -> None:
    assert MARKUP.findall('node.innerHTML = x; node.setAttribute("style", y); eval(z)') != []


@pytest.mark.parametrize("file", OWN, ids=_named)
def test_file_names_no_other_host(file: Path) -> None:
    text = file.read_text().replace(NAMESPACE, "")
    without_comments = re.sub(r"^\s*(?://|/?\*).*$", "", text, flags=re.MULTILINE)

    assert re.findall(r"(?:https?:)?//\w+\.\w+[^\s\"')]*", without_comments) == []


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_imported_module_exists(script: Path) -> None:
    imported = re.findall(r"""from\s+"([^"]+)";""", script.read_text())

    assert [name for name in imported if not (script.parent / name).is_file()] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=_named)
def test_script_has_a_comment_and_at_most_300_lines(script: Path) -> None:
    lines = script.read_text().splitlines()

    assert lines[0].startswith("// ")
    assert len(lines) <= 300


def test_page_has_no_inline_script_and_no_inline_style() -> None:
    page = (FOLDER / "index.html").read_text()

    assert re.findall(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page) == []
    linked = re.findall(r'(?:src|href)="([^"#]+)"', page)
    assert [name for name in linked if not (FOLDER / name).is_file()] == []


def test_uplot_is_as_it_was_published() -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (VENDORED / "uplot").iterdir()}

    assert found == UPLOT
    assert "MIT License" in (VENDORED / "uplot" / "LICENSE").read_text()


def test_wheel_contains_every_file_of_the_page() -> None:
    builder = WheelBuilder(str(ROOT))
    packed = {Path(each.path) for each in builder.recurse_included_files()}

    assert {path for path in FOLDER.rglob("*") if path.is_file()} <= packed
