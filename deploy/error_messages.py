"""How a command ends on an error that a person can act on: with a message, and the documented exit code."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import wraps
from typing import IO, Any, ParamSpec, TypeVar

import click

from deploy.errors import ArgumentError, DeployError
from deploy.failure import with_remedy
from deploy.logging import report_fatal
from gateway.errors import GatewayError, PartitionsError
from processors.clickhouse.errors import ClickHouseError
from processors.engine.errors import EngineError
from schemas.settings import SettingsError

P = ParamSpec("P")
T = TypeVar("T")

_OF_THE_SYSTEM = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE}
)
"""Errors of files that a person can correct: space, rights, handles."""


class CommandError(click.ClickException):
    """The error with which a command ends. A service whose log is JSON reports it there."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        """Write the message as the last line."""
        del file
        report_fatal(self.format_message())


def report_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Print an error that a person can act on as a message, without a traceback, and exit with the documented code."""

    @wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (SettingsError, ArgumentError) as error:
            raise CommandError(str(error), 2) from error
        except PartitionsError as error:
            raise CommandError(str(error), os.EX_CONFIG) from error
        except (DeployError, GatewayError, ClickHouseError, EngineError) as error:
            raise CommandError(str(error)) from error
        except ModuleNotFoundError as error:
            raise CommandError(with_remedy(str(error))) from error
        except OSError as error:
            if error.errno not in _OF_THE_SYSTEM:
                raise
            raise CommandError(with_remedy(f"Cannot use {error.filename or 'a file'}: {error.strerror}")) from error

    return wrapper
