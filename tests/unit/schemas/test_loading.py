"""Settings are read from environment variables, and all errors are reported together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

import pytest
from msgspec import Meta

from schemas.loading import Count, Declaration, SettingsError, declarations, environment, load, setting


def check_long_enough(value: str) -> None:
    if len(value) < 4:
        raise ValueError("must have at least 4 characters")


@dataclass(frozen=True, slots=True)
class Inner:
    """The settings of a dependency."""

    key: str = setting("T_KEY", "none", "A secret", secret=True, check=check_long_enough)
    name: str = setting("T_NAME", "a", "A name")


@dataclass(frozen=True, slots=True)
class Outer:
    """The settings of a process."""

    inner: Inner = field(default_factory=Inner)
    color: Literal["red", "green"] = setting("T_COLOR", "red", "A choice")
    port: Annotated[int, Meta(ge=0, le=65535)] = setting("T_PORT", 80, "A port")
    count: Count = setting("T_COUNT", 3, "A count")
    rate: Annotated[float, Meta(gt=0, extra={"unit": "items per second"})] = setting("T_RATE", 0.5, "A rate")
    limit: float = setting("T_LIMIT", 1.0, "A limit")
    on: bool = setting("T_ON", default=False, about="A switch")


ALL = {
    "T_KEY": "sesame",
    "T_NAME": "b",
    "T_COLOR": "green",
    "T_PORT": "0",
    "T_COUNT": "4",
    "T_RATE": "1.5",
    "T_LIMIT": "-2",
    "T_ON": "yes",
    "OTHER": "x",
}


def test_unset_variables_keep_the_defaults() -> None:
    assert load(Outer, {}) == Outer(Inner("none", "a"), "red", 80, 3, 0.5, 1.0, on=False)


def test_all_variables_are_read_including_nested_ones() -> None:
    assert load(Outer, ALL) == Outer(Inner("sesame", "b"), "green", 0, 4, 1.5, -2.0, on=True)


def test_all_errors_are_reported_together_with_variable_range_and_value() -> None:
    invalid = {
        "T_KEY": "abc",
        "T_COLOR": "blue",
        "T_PORT": "99999",
        "T_COUNT": "0",
        "T_RATE": "-1",
        "T_LIMIT": "low",
        "T_ON": "maybe",
    }
    with pytest.raises(SettingsError) as caught:
        load(Outer, invalid)

    assert str(caught.value).splitlines() == [
        "T_KEY: must have at least 4 characters",
        "T_COLOR: must be one of red, green, got 'blue'",
        "T_PORT: must be between 0 and 65535, got '99999'",
        "T_COUNT: must be at least 1, got '0'",
        "T_RATE: must be greater than 0, got '-1'",
        "T_LIMIT: must be a number, got 'low'",
        "T_ON: must be true or false, got 'maybe'",
    ]


@pytest.mark.parametrize("variable", ["T_RATE", "T_LIMIT"])
@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_nan_and_infinity_are_rejected(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: must be a finite number, got '{text}'"):
        load(Outer, {variable: text})


@pytest.mark.parametrize("text", ["1,5", "x", "1.5.0", "null"])
def test_text_is_rejected_where_a_number_is_expected(text: str) -> None:
    with pytest.raises(SettingsError, match="T_RATE: must be a number"):
        load(Outer, {"T_RATE": text})


@pytest.mark.parametrize("text", ["1.5", "1.0", "1e3", "0x10", "four"])
def test_fractions_and_other_notations_are_no_whole_numbers(text: str) -> None:
    with pytest.raises(SettingsError, match="T_COUNT: must be a whole number"):
        load(Outer, {"T_COUNT": text})


@pytest.mark.parametrize(("text", "value"), [(" 4 ", 4), ("007", 7), ("+4", 4), ("9" * 400, int("9" * 400))])
def test_whole_numbers_are_read_as_python_reads_them(text: str, value: int) -> None:
    assert load(Outer, {"T_COUNT": text}).count == value


@pytest.mark.parametrize(("text", "value"), [(".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), (" 2", 2.0)])
def test_numbers_are_read_as_python_reads_them(text: str, value: float) -> None:
    assert load(Outer, {"T_RATE": text}).rate == value


@pytest.mark.parametrize("text", ["0", "65535"])
def test_the_limits_of_a_range_are_allowed(text: str) -> None:
    assert load(Outer, {"T_PORT": text}).port == int(text)


@pytest.mark.parametrize(("text", "on"), [("1", True), ("TRUE", True), ("on", True), ("0", False), ("No", False)])
def test_booleans_have_several_spellings(text: str, on: bool) -> None:  # noqa: FBT001  # it is the value
    assert load(Outer, {"T_ON": text}).on is on


def test_empty_variable_sets_a_text_and_keeps_any_other_default() -> None:
    empty = dict.fromkeys(("T_NAME", "T_PORT", "T_COUNT", "T_RATE", "T_ON"), "")

    assert load(Outer, empty) == Outer(Inner(name=""))


def test_secrets_are_absent_from_repr_and_errors() -> None:
    settings = load(Outer, ALL)

    assert "sesame" not in repr(settings)
    assert "sesame" not in str(settings)
    with pytest.raises(SettingsError) as caught:
        load(Outer, {"T_KEY": "abc"})
    assert "abc" not in str(caught.value)


def test_child_process_reads_the_settings_of_its_parent() -> None:
    settings = load(Outer, ALL)

    assert load(Outer, environment(settings)) == settings
    assert environment(settings)["T_KEY"] == "sesame"


def test_declarations_show_type_range_unit_default_and_meaning() -> None:
    assert list(declarations(Outer)) == [
        Declaration("T_KEY", "none", "A secret", "text", "", "", secret=True),
        Declaration("T_NAME", "a", "A name", "text", "", "", secret=False),
        Declaration("T_COLOR", "red", "A choice", "choice", "one of red, green", "", secret=False),
        Declaration("T_PORT", 80, "A port", "whole number", "between 0 and 65535", "", secret=False),
        Declaration("T_COUNT", 3, "A count", "whole number", "at least 1", "", secret=False),
        Declaration("T_RATE", 0.5, "A rate", "number", "greater than 0", "items per second", secret=False),
        Declaration("T_LIMIT", 1.0, "A limit", "number", "", "", secret=False),
        Declaration("T_ON", False, "A switch", "true or false", "", "", secret=False),  # noqa: FBT003  # the default
    ]


def test_setting_nested_twice_is_reported_once() -> None:
    @dataclass(frozen=True, slots=True)
    class Both:
        first: Outer = field(default_factory=Outer)
        second: Outer = field(default_factory=Outer)

    with pytest.raises(SettingsError) as caught:
        load(Both, {"T_PORT": "many"})
    assert str(caught.value) == "T_PORT: must be a whole number, got 'many'"
