"""How a command ends on an error that a person can act on: with a message, and the documented exit code."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import click

from deploy.errors import DeployError
from gateway.errors import GatewayError
from processors.clickhouse.errors import ClickHouseError
from processors.engine.errors import EngineError
from schemas.settings import SettingsError

P = ParamSpec("P")
T = TypeVar("T")


def report_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Print an error that a person can act on as a message, without a traceback, and exit with the documented code."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except SettingsError as error:
            invalid = click.ClickException(str(error))
            invalid.exit_code = 2
            raise invalid from error
        except (DeployError, GatewayError, ClickHouseError, EngineError) as error:
            raise click.ClickException(str(error)) from error

    return wrapper
