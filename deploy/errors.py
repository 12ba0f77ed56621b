"""Errors of running and operating the pipeline. `deploy.cli` prints their messages; nobody sees a traceback for them.

DeployError
├── TopicsError           a topic cannot be created or does not fit the settings
├── PortInUseError        a service cannot listen on its port
├── AlreadyRunningError   another stack uses the same state directory
├── OpenFilesError        the limit of open files is too low
├── StateError            the state directory, or a secret in it, cannot be used
├── FetchError            a file of Kafka's cannot be fetched, or its checksum differs
├── ServiceError          a service of the local stack does not become ready
├── SqlError              a statement of `sequence sql` fails
├── OperateError          tables or positions are not as a command needs them; nothing was changed
│   ├── ArgumentError     an argument of a command is invalid
│   └── RefusedRequestError  a gateway refuses a whole request
└── MissingExtraError     an optional dependency is not installed
"""

from __future__ import annotations


class DeployError(Exception):
    """The root. A message says what happened, which setting is concerned and what to do."""


class TopicsError(DeployError):
    """A topic cannot be created, or exists with settings that do not fit; one line for each topic."""


class PortInUseError(DeployError):
    """Another process listens on a port, or two services are configured for the same one."""


class AlreadyRunningError(DeployError):
    """Another stack holds the lock of the state directory."""


class OpenFilesError(DeployError):
    """The limit of open files is too low for the number of partitions."""


class StateError(DeployError):
    """The state directory cannot be created, written or closed to others, or a secret in it cannot be used."""


class FetchError(DeployError):
    """A file could not be fetched, or its checksum differs."""


class ServiceError(DeployError):
    """A service did not become ready, or exited too often."""


class SqlError(DeployError):
    """A statement failed, or ClickHouse did not answer; the message has ClickHouse's own text."""


class OperateError(DeployError):
    """Tables, positions or a consumer group are not as a command needs them. The message says what was changed."""


class ArgumentError(OperateError):
    """A program or a condition that was passed to a command is invalid. The command ends with exit code 2."""


class RefusedRequestError(OperateError):
    """A gateway answered a request of a command with `status`, and stored none of its items."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class MissingExtraError(DeployError):
    """A command needs optional dependencies that are not installed."""
