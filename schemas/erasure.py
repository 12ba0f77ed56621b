"""Erasure: which rows and records of which users are to be forgotten.

The topic `projects.v1` is kept for ever, so an erasure holds no user ID: only digests, which nobody without the
project's secret can compute. It says by source offset which items it covers. Items that arrive later are new, whatever
their timestamps: to refuse those is what a suppression is for.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

DIGEST_BYTES = 16
USERS_LIMIT = 5_000
"""Users of one erasure: its record stays far below a broker's limit of 1 MiB."""


class Erasure(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Users of a project are erased: everything, or what happened in a range of time."""

    requested_at: int
    """Microseconds since 1970. Of several erasures of a user, that of the latest request is newest."""
    users: tuple[bytes, ...]
    """`user_digest` of each; in JSON, base64."""
    cluster_id: str
    """Kafka's ID of the cluster that the offsets belong to."""
    log: int
    """`_log` of the rows that these offsets belong to. All rows of lower logs are covered."""
    items: tuple[int, ...]
    """By partition of `items.v1`, the first offset that is not covered."""
    rejections: tuple[int, ...]
    """By partition of `rejected.v1`, the first offset that is not covered."""
    since: int | None = None
    """Only what happened at or after this time, by `timestamp`, in microseconds since 1970."""
    until: int | None = None
    """Only what happened before this time."""
    identifies: tuple[int, ...] = ()
    """By partition of `identifies.v1`, the offset after the records that tell the persons stage; empty until they are
    written."""

    @property
    def is_complete(self) -> bool:
        """Whether it covers everything that happened, so that the person goes as well."""
        return self.since is None and self.until is None

    def covers_time(self, timestamp: int) -> bool:
        """Return whether it covers what happened at *timestamp*, microseconds since 1970."""
        return (self.since is None or timestamp >= self.since) and (self.until is None or timestamp < self.until)

    def covers_item(self, partition: int, source_offset: int, timestamp: int) -> bool:
        """Return whether it covers the item of one of its users at *source_offset* of `items.v1`."""
        return _is_before(self.items, partition, source_offset) and self.covers_time(timestamp)

    def covers_rejection(self, partition: int, offset: int) -> bool:
        """Return whether it covers the rejection of one of its users at *offset* of `rejected.v1`, of any time."""
        return _is_before(self.rejections, partition, offset)


class Suppression(msgspec.Struct, frozen=True, rename="camel"):
    """Items of a user are rejected from now on, or accepted again."""

    suppressed: bool


def user_digest(hash_key: bytes, user_id: str) -> bytes:
    """Return the digest of *user_id* with the project's secret; ClickHouse computes the same, see `digest_sql`."""
    return hashlib.sha256(hash_key + user_id.encode("utf-8", "surrogatepass")).digest()[:DIGEST_BYTES]


def digest_sql(hash_key: bytes, column: str) -> str:
    """Return the SQL expression of `user_digest` for the text *column*."""
    return f"substring(SHA256(concat(unhex('{hash_key.hex()}'), {column})), 1, {DIGEST_BYTES})"


def _is_before(ends: Sequence[int], partition: int, offset: int) -> bool:
    return partition < len(ends) and offset < ends[partition]
