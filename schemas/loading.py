"""Loading of settings: frozen dataclasses filled from environment variables, with all errors reported together.

Each process has one dataclass (`gateway.settings`, `processors.settings`, `deploy.settings`) that nests those of its
dependencies. A field is declared once, with `setting`: its annotation is the type and the range, as msgspec's `Meta`.
`docs/settings.md` is tested against the declarations. `schemas.settings` has the shared ones, and exports these names.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from schemas import secret_variables
from schemas.addresses import without_credentials

T = TypeVar("T")
U = TypeVar("U")

Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Bytes = Annotated[int, Meta(ge=1, extra={"unit": "bytes"})]
Seconds = Annotated[float, Meta(gt=0, extra={"unit": "seconds"})]
Days = Annotated[float, Meta(gt=0, extra={"unit": "days"})]

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


class SettingsError(ValueError):
    """One or more settings are invalid; the message has one line for each."""


@dataclass(frozen=True, slots=True)
class Declaration:
    """One setting as the documentation shows it."""

    variable: str
    default: Any
    about: str
    """What it is, in one line."""
    type: str
    """`text`, `whole number`, `number`, `true or false`, or `choice`."""
    range: str
    """Which values are allowed, as in the error message: `between 0 and 65535`. Empty without a limit."""
    unit: str
    secret: bool


def setting(
    variable: str, default: T, about: str, *, check: Callable[[T], object] | None = None, secret: bool = False
) -> T:
    """Declare a field that is read from the environment variable *variable*.

    The field's annotation is str, int, float, bool, a `Literal` of strings, or one of these `Annotated` with a `Meta`
    that gives its range, and its unit as `extra={"unit": …}`. *check* is for what no range expresses: it raises
    ValueError with a phrase such as `must be a path`. *secret* keeps the value out of `repr` and of error messages.
    """
    metadata = {"variable": variable, "about": about, "check": check, "secret": secret}
    return dataclasses.field(default=default, repr=not secret, metadata=metadata)


def load(cls: type[T], environ: Mapping[str, str] = os.environ) -> T:
    """Fill *cls* and the dataclasses nested in it from *environ*.

    A dataclass can have a static method `complete(given)`: it returns the values of the fields that are set together
    with those that follow from them, or raises `SettingsError`.

    A variable that is unset keeps the default, and so does an empty one where the setting is no text. Raises
    `SettingsError` with every invalid variable.
    """
    faults: dict[str, str] = {}
    loaded = _fill(cls, environ, faults)
    _check(faults)
    return loaded


def load_both(first: type[T], second: type[U], environ: Mapping[str, str] = os.environ) -> tuple[T, U]:
    """Fill two classes as `load` does; raises `SettingsError` with every invalid variable of both."""
    faults: dict[str, str] = {}
    loaded = _fill(first, environ, faults), _fill(second, environ, faults)
    _check(faults)
    return loaded


def _check(faults: Mapping[str, str]) -> None:
    if faults:
        raise SettingsError("\n".join(f"{variable}: {fault}" for variable, fault in faults.items()))


def declarations(cls: type[Any]) -> Iterator[Declaration]:
    """Yield every setting of *cls* and of the dataclasses nested in it."""
    hints = get_type_hints(cls, include_extras=True)
    for declared in dataclasses.fields(cls):
        if "variable" in declared.metadata:
            base, meta = _split(hints[declared.name])
            yield Declaration(
                variable=declared.metadata["variable"],
                default=declared.default,
                about=declared.metadata["about"],
                type="choice" if get_origin(base) is Literal else _KINDS[base],
                range=_range(base, meta),
                unit=(meta.extra or {}).get("unit", "") if meta else "",
                secret=declared.metadata["secret"],
            )
        elif (nested := _nested(declared)) is not None:
            yield from declarations(nested)


def environment(settings: Any) -> dict[str, str]:
    """Return the variables from which `load` would read *settings*: how a parent passes them to a child process."""
    variables: dict[str, str] = {}
    for declared in dataclasses.fields(settings):
        value = getattr(settings, declared.name)
        if "variable" in declared.metadata:
            variables[declared.metadata["variable"]] = str(value)
        elif dataclasses.is_dataclass(value):
            variables.update(environment(value))
    return variables


def _fill(cls: type[T], environ: Mapping[str, str], faults: dict[str, str]) -> T:
    values: dict[str, Any] = {}
    invalid = False
    hints = get_type_hints(cls, include_extras=True)
    for declared in dataclasses.fields(cls):  # type: ignore[arg-type]  # callers pass dataclasses
        if "variable" not in declared.metadata:
            if (nested := _nested(declared)) is not None:
                values[declared.name] = _fill(nested, environ, faults)
            continue
        variable, secret = declared.metadata["variable"], declared.metadata["secret"]
        try:
            text = secret_variables.read(variable, environ) if secret else environ.get(variable)
            if text is None or (text == "" and not isinstance(declared.default, str)):
                continue
            values[declared.name] = _parse(text, hints[declared.name], declared.metadata["check"])
        except ValueError as error:
            invalid = True
            faults[variable] = str(error) if secret else f"{error}, got {without_credentials(environ[variable])!r}"
    if not invalid and (complete := getattr(cls, "complete", None)) is not None:
        try:
            values = complete(values)
        except SettingsError as error:
            faults.update((variable, fault) for variable, _, fault in _lines(error))
    return cls(**values)


def _lines(error: SettingsError) -> Iterator[tuple[str, str, str]]:
    return (line.partition(": ") for line in str(error).splitlines())


def _nested(declared: dataclasses.Field[Any]) -> type[Any] | None:
    """Return the settings dataclass that the field holds, None where it holds a plain value."""
    factory: Any = declared.default_factory
    return factory if isinstance(factory, type) and dataclasses.is_dataclass(factory) else None


_KINDS: dict[Any, str] = {str: "text", int: "whole number", float: "number", bool: "true or false"}


def _parse(text: str, annotation: Any, check: Callable[[Any], object] | None) -> Any:
    base, meta = _split(annotation)
    value = _read(text, base)
    try:
        msgspec.convert(value, annotation)
    except msgspec.ValidationError:
        raise ValueError(f"must be {_range(base, meta)}") from None
    if check is not None:
        check(value)
    return value


def _read(text: str, base: Any) -> Any:
    if base is bool:
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError("must be true or false")
        return text.lower() in _TRUE
    if base not in (int, float):
        return text
    # Not by msgspec: its lax mode takes 1e3 for a whole number, and not .5 for a number.
    try:
        value = base(text)
    except ValueError:
        raise ValueError(f"must be a {_KINDS[base]}") from None
    if base is float and not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _split(annotation: Any) -> tuple[Any, Meta | None]:
    """Return the type that *annotation* holds, and its `Meta`."""
    if get_origin(annotation) is Annotated:
        base, meta = get_args(annotation)
        return base, meta
    return annotation, None


def _range(base: Any, meta: Meta | None) -> str:
    """Return which values of *base* are allowed, as it reads after "must be"."""
    if get_origin(base) is Literal:
        return f"one of {', '.join(get_args(base))}"
    if meta is None:
        return ""
    if meta.ge is not None and meta.le is not None:
        return f"between {meta.ge} and {meta.le}"
    return f"at least {meta.ge}" if meta.ge is not None else f"greater than {meta.gt}"
