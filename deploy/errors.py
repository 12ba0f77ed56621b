"""What can go wrong in running the pipeline.

DeployError
├── TopicsError         topics are not what the pipeline needs
├── PortTakenError      a port that a part would listen on is in use
├── AlreadyRunningError another stack runs on the same state directory
├── StateError          the state directory cannot be written
├── FetchError          Kafka's files could not be fetched or are not what they should be
└── ServiceError           a part of the local stack did not become ready
"""

from __future__ import annotations


class DeployError(Exception):
    """Something that the person who runs the pipeline can put right; the message says what and how."""


class TopicsError(DeployError):
    """Topics exist that the pipeline cannot work with, or could not be made."""


class PortTakenError(DeployError):
    """A port is in use; the message names it and the setting that moves it."""


class AlreadyRunningError(DeployError):
    """The state directory belongs to a stack that runs."""


class StateError(DeployError):
    """The state directory cannot be made or written."""


class FetchError(DeployError):
    """A file could not be fetched, or its content is not the one expected."""


class ServiceError(DeployError):
    """A part did not become ready."""
