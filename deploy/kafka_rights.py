"""What each part may do on Kafka, for a cluster that denies by default.

The tables of `docs/security.md` are made from here. READ and WRITE include DESCRIBE. A part needs no right on the
cluster to produce without duplicates: since Kafka 3.0, WRITE on a topic includes IDEMPOTENT_WRITE.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from processors.settings import WORKERS
from schemas.topics import Topics

Operation = Literal["Read", "Write", "Create", "Describe", "DescribeConfigs", "AlterConfigs"]
"""As `kafka-acls.sh` names them."""
Kind = Literal["topic", "group", "cluster"]

PREFIX = "sequence"
"""The prefix of the names in `PARTS`."""
_ORDER: Mapping[Operation, int] = {
    "Read": 0,
    "Write": 1,
    "Create": 2,
    "Describe": 3,
    "DescribeConfigs": 4,
    "AlterConfigs": 5,
}


@dataclass(frozen=True, slots=True)
class Right:
    """One operation on one topic or consumer group, whose name has no prefix, or on the cluster."""

    operation: Operation
    kind: Kind
    name: str = ""
    without: str = ""
    """What a part lacks without the right; empty if the part does not work at all."""

    def resource(self, prefix: str) -> str:
        """Return the name on Kafka of what the right is for."""
        return {"topic": f"{prefix}.{self.name}", "group": f"{prefix}-{self.name}", "cluster": "kafka-cluster"}[
            self.kind
        ]


@dataclass(frozen=True, slots=True)
class Part:
    """Commands that share a user, and its rights."""

    commands: str
    rights: tuple[Right, ...]


def _on(kind: Kind, operations: str, *names: str, without: str = "") -> tuple[Right, ...]:
    """Return a right for each of *operations*, separated by spaces, on each of *names*."""
    known = {str(operation): operation for operation in _ORDER}
    return tuple(Right(known[operation], kind, name, without) for name in names for operation in operations.split(" "))


def _topics(operations: str, *names: str, without: str = "") -> tuple[Right, ...]:
    return _on("topic", operations, *(_short(name) for name in names), without=without)


def _groups(operations: str, *names: str) -> tuple[Right, ...]:
    return _on("group", operations, *names)


def _short(topic: str) -> str:
    return topic.removeprefix(f"{PREFIX}.")


_T = Topics(PREFIX)
_DISKS = _on("cluster", "Describe", "", without="the disks of the brokers are not known")
_READ_ALL = _topics("Read", *_T.every) + _groups("Describe", *WORKERS)

PARTS: Mapping[str, Part] = {
    "topics": Part(
        "`sequence topics apply`",
        _topics("Create Describe", *_T.every)
        + _topics("Read Write", _T.projects)
        + _topics("DescribeConfigs", *_T.every, without="the settings of topics that exist are not checked")
        + _topics("AlterConfigs", *_T.every, without="the settings of topics that exist are not changed"),
    ),
    "gateway": Part(
        "`sequence gateway`",
        _topics("Read Write", _T.projects) + _topics("Write", _T.items, _T.rejected) + _DISKS,
    ),
    "dedupe": Part(
        "`sequence worker dedupe`",
        _topics("Read", _T.items, _T.projects)
        + _topics("Read Write", _T.events, _T.duplicates, _T.identifies)
        + _topics("Write", _T.rejected)
        + _groups("Read", "dedupe"),
    ),
    "persons": Part(
        "`sequence worker persons`",
        _topics("Read", _T.identifies, _T.projects)
        + _topics("Read Write", _T.persons)
        + _topics("Write", _T.rejected)
        + _groups("Read", "persons"),
    ),
    "sink": Part(
        "`sequence worker sink`",
        _topics("Read", *_T.of_tables, _T.projects)
        + _topics("Write", _T.rejected)
        + _groups("Read", "sink")
        + _topics("Describe", _T.items, _T.identifies, without="erasures are not carried out")
        + _on("group", "Describe", "dedupe", "persons", without="erasures are not carried out")
        + _topics(
            "DescribeConfigs",
            *(_T.items, _T.identifies, *_T.of_tables),
            without="erasures do not say when the topics have forgotten a user",
        ),
    ),
    "projects": Part("`sequence project`, `sequence token`, `sequence demo`", _topics("Read Write", _T.projects)),
    "console": Part(
        "`sequence console`, `sequence status`, `sequence trace`, `sequence doctor`",
        _READ_ALL
        + _DISKS
        + _topics("DescribeConfigs", *_T.every, without="`sequence doctor` does not check the settings of topics"),
    ),
    "audit": Part(
        "`sequence audit`, `sequence positions show`",
        _topics("Read", _T.items, _T.identifies, *_T.of_tables) + _groups("Read", *WORKERS),
    ),
    "backup": Part(
        "`sequence backup`, `sequence retention`", _topics("Read", _T.projects) + _topics("Describe", _T.events)
    ),
    "restore": Part(
        "`sequence restore`",
        _topics("Read Write", _T.projects) + _topics("Describe", *_T.of_tables) + _groups("Describe", "sink"),
    ),
    "erase": Part(
        "`sequence erase`",
        _topics("Read Write", _T.projects, _T.identifies)
        + _topics("Read", _T.items, _T.rejected, _T.events)
        + _topics("Read", _T.persons, _T.duplicates, without="`--dry-run` fails")
        + _on("group", "Describe", "erase", without="`--dry-run` fails"),
    ),
    "repair": Part(
        "`sequence positions`, `sequence tables rebuild`, `sequence audit --refill`",
        _topics("Read", *_T.every) + _groups("Read", *WORKERS),
    ),
}
"""The parts of the pipeline, then what operators run, by name."""


def acl_arguments(part: str, prefix: str, principal: str) -> list[str]:
    """Return the arguments of `kafka-acls.sh` that grant *principal* the rights of *part*, a line for each call."""
    operations: defaultdict[tuple[Kind, str], list[Operation]] = defaultdict(list)
    for right in PARTS[part].rights:
        operations[right.kind, right.resource(prefix)].append(right.operation)
    names: defaultdict[tuple[Kind, tuple[Operation, ...]], list[str]] = defaultdict(list)
    for (kind, name), found in operations.items():
        names[kind, tuple(sorted(set(found), key=_ORDER.__getitem__))].append(name)
    return [
        " ".join([f"--add --allow-principal {shlex.quote(principal)}", *_options(kind, needed, resources)])
        for (kind, needed), resources in names.items()
    ]


def _options(kind: Kind, operations: Sequence[Operation], resources: Sequence[str]) -> Iterator[str]:
    yield from (f"--operation {operation}" for operation in operations)
    yield from ["--cluster"] if kind == "cluster" else (f"--{kind} {name}" for name in resources)
