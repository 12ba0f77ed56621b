"""docs/settings.md describes every setting as the code declares it."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import pytest

from deploy.docker.prepare import PrepareSettings
from deploy.known_settings import AllSettings
from schemas.settings import Declaration, SettingsError, declarations, load
from tests.support import source_code
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
HEADING = re.compile(r"^### (.+)$", re.MULTILINE)
EXAMPLE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ASSIGNMENT = re.compile(r"^(\w+)=(.*)$", re.MULTILINE)


DECLARED = {declaration.variable: declaration for declaration in declarations(AllSettings)}


def test_all_settings_are_known() -> None:
    assert {declared.variable for declared in declarations(PrepareSettings)} <= DECLARED.keys()


@cache
def sections() -> dict[str, str]:
    """Return the text under the heading of each setting."""
    _, *parts = HEADING.split(re.sub(r"^## .*$", "### -", PAGE, flags=re.MULTILINE))
    return {name: text for name, text in zip(parts[::2], parts[1::2], strict=True) if name != "-"}


def facts(declaration: Declaration) -> str:
    """Return the line under the heading: type, unit, range and default."""
    default = shown(declaration.default)
    if declaration.type == "choice":
        kind = "One of " + ", ".join(f"`{value}`" for value in declaration.range.removeprefix("one of ").split(", "))
    elif declaration.type == "true or false":
        kind = "`true` or `false`"
    else:
        unit = f" of {declaration.unit}" if declaration.unit else ""
        limit = f", {declaration.range}" if declaration.range else ""
        kind = f"{declaration.type.capitalize()}{unit}{limit}{', secret' if declaration.secret else ''}"
    return f"*{kind}. Default: {f'`{default}`' if default else 'empty'}.*"


def shown(value: object) -> str:
    """Return a default as it is written in the environment."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def examples() -> list[dict[str, str]]:
    """Return the variables that each example sets."""
    return [dict(ASSIGNMENT.findall(example)) for example in EXAMPLE.findall(PAGE)]


def test_every_setting_is_declared_once() -> None:
    assert sorted(source_code.settings()) == sorted(DECLARED)


def test_every_setting_has_one_heading_and_every_heading_a_setting() -> None:
    headings = HEADING.findall(PAGE)

    assert sorted(headings) == sorted(DECLARED)


@pytest.mark.parametrize("variable", DECLARED)
def test_section_begins_with_type_range_unit_and_default(variable: str) -> None:
    first = sections()[variable].strip().split("\n\n")[0]

    assert first == facts(DECLARED[variable])


@pytest.mark.parametrize("variable", DECLARED)
def test_paragraph_begins_with_the_declared_meaning(variable: str) -> None:
    paragraph = sections()[variable].strip().split("\n\n")[1].replace("\n", " ")

    assert paragraph.startswith(f"{DECLARED[variable].about}.")


def test_defaults_as_shown_load_as_the_defaults() -> None:
    environ = {variable: shown(declaration.default) for variable, declaration in DECLARED.items()}

    assert load(AllSettings, environ) == AllSettings()


@pytest.mark.parametrize("example", examples(), ids=lambda example: next(iter(example)))
def test_example_loads(example: dict[str, str]) -> None:
    assert example.keys() <= DECLARED.keys()
    assert load(AllSettings, example) != AllSettings()


@pytest.mark.parametrize("variable", [name for name, text in sections().items() if EXAMPLE.search(text)])
def test_example_of_a_setting_sets_it(variable: str) -> None:
    [example] = EXAMPLE.findall(sections()[variable])

    assert variable in dict(ASSIGNMENT.findall(example))


def test_error_messages_shown_are_those_of_the_code() -> None:
    [shown_errors] = re.findall(r"^```text\n(.*?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
    invalid = dict(re.findall(r"^(\w+): .*, got '(.*)'$", shown_errors, re.MULTILINE))

    with pytest.raises(SettingsError) as caught:
        load(AllSettings, invalid)
    assert sorted(str(caught.value).splitlines()) == sorted(shown_errors.splitlines())


def test_every_variable_mentioned_exists() -> None:
    mentioned: set[Any] = set(re.findall(r"SEQUENCE_[A-Z_]+", PAGE))

    assert mentioned == DECLARED.keys()
