"""What Kafka denies to the user of a process, in one sentence that names the operation and the topic or group.

Kafka's client is not imported here. Its errors are recognised by their names, which are those of Kafka's protocol.
"""

from __future__ import annotations

_TOPIC, _GROUP, _CLUSTER = (
    "TopicAuthorizationFailedError",
    "GroupAuthorizationFailedError",
    "ClusterAuthorizationFailedError",
)


def denied(operation: str, resource: str) -> str:
    """Return the sentence about *operation* on *resource*, for example `READ` on `the topic a.b`."""
    return f"Kafka denies {operation} on {resource} to this user (SEQUENCE_KAFKA_USERNAME). Grant it with Kafka's ACLs."


def denial(error: BaseException | None, operation: str = "READ or WRITE") -> str | None:
    """Return what *error*, or an error that caused it, denies; None if nothing is denied.

    *operation* is the one on topics that failed: Kafka's error does not name it.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        name = type(error).__name__
        if name == _TOPIC:
            return denied(operation, f"the topic {_named(error)}")
        if name == _GROUP:
            return denied("READ", f"the consumer group {_named(error)}")
        if name == _CLUSTER:
            # A producer that may write to no topic gets this error.
            return denied("WRITE", "any topic")
        error = error.__cause__ or error.__context__
    return None


def _named(error: BaseException) -> str:
    """Return the topics or the group of *error*: its first argument is a name or a set of names."""
    (first, *_) = error.args or ("",)
    return ", ".join(sorted(map(str, first))) if isinstance(first, set | frozenset | list | tuple) else str(first)
