"""What an erasure asks of Kafka and of the projects, as a test has set it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processors.erasures.kafka import Left, Offsets
from processors.erasures.store import Owned
from schemas.erasure import Erasure, user_digest
from schemas.field_rules import HashKey
from schemas.project_table import ProjectTable
from schemas.projects import ProjectCreation, encode_entry
from schemas.topics import Topics

CLUSTER = "a-cluster"
HASH_KEY = b"a key of 32 bytes, as they are.."
PROJECT = "shop"


@dataclass
class MemoryKafka:
    """The answers to the pass; each worker has read everything."""

    now: Offsets = field(default_factory=lambda: Offsets({("dedupe", Topics().items, 0): 10**9}, {}, {}))
    on_persons: dict[str, Left] = field(default_factory=dict)
    forget: float | None = 86_400.0
    searches: int = 0

    def cluster_id(self) -> str:
        return CLUSTER

    def offsets(self) -> Offsets:
        return self.now

    def left(self, erasures: Sequence[Owned]) -> Mapping[str, Left]:
        del erasures
        self.searches += 1
        return self.on_persons

    def forget_seconds(self) -> float | None:
        return self.forget

    def delete_seconds(self) -> float:
        return 0.0


class MemoryDecisions:
    """A project with erasures."""

    def __init__(self) -> None:
        self.table = ProjectTable()
        self.table.apply(*encode_entry(ProjectCreation(PROJECT, PROJECT, 1), PROJECT, "0" * 16))
        self.table.apply(*encode_entry(HashKey(HASH_KEY), PROJECT, "0" * 16))

    def erase(self, name: str, *users: str, cut: int = 1000, **fields: object) -> Erasure:
        """Request the erasure *name* of *users*, of what is before the source offset *cut*."""
        erasure = Erasure(
            **{
                "requested_at": 1_800_000_000_000_000,
                "users": tuple(sorted(user_digest(HASH_KEY, user) for user in users)),
                "cluster_id": CLUSTER,
                "log": 1,
                "items": (cut,),
                "rejections": (cut,),
                "identifies": (1,),
                **fields,
            }  # type: ignore[arg-type]  # of these names
        )
        self.table.apply(*encode_entry(erasure, PROJECT, name))
        return erasure
