"""What the measurements of `sequence capacity` have found: the content of `capacity_samples.json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from deploy.operate.capacity import Load, Topology

SAMPLES = Path(__file__).with_suffix(".json")
"""The measurements that the coefficients were made from."""


class Sample(msgspec.Struct, frozen=True):
    """A load on a whole local stack, measured while it was offered."""

    name: str
    is_check: bool
    """Whether the load is left out of the fit, and is predicted."""
    load: Load
    """As it was accepted: its rate is that of the window."""
    topology: Topology
    seconds: float
    cores: Mapping[str, float]
    """CPU seconds per second of each part."""
    peak_mib: Mapping[str, float]
    """Peak resident memory of each part."""
    batches: Mapping[str, float]
    """Batches per second, INSERTs and rows that the catalogue read, as the processes counted them."""
    record_bytes: Mapping[str, float]
    """Bytes of a record of each topic on the disk, before replication."""
    generator_cores: float


class RowSize(msgspec.Struct, frozen=True):
    """Rows or entries with the content of one kind of events."""

    table: str
    event_bytes: float
    names: float
    rows: int
    bytes_per_row: float


class Samples(msgspec.Struct, frozen=True):
    """All measurements, and the machine."""

    machine: Mapping[str, str]
    date: str
    samples: Mapping[str, Sequence[Sample]]
    """By run."""
    rows: Sequence[RowSize]
    checked_rows: Sequence[RowSize]
    """Those of loads that are left out of the fit."""
    counted_per_row: float
    """Rows that passes of the catalogue have read for each row of events and identifies, in the run with most loads."""
    dedupe_entry_bytes: float
    person_bytes: Sequence[RowSize]
    """Persons in the local store."""


def read(path: Path = SAMPLES) -> Samples:
    """Read the measurements at *path*."""
    return msgspec.json.decode(path.read_bytes(), type=Samples)


def write(samples: Samples, path: Path = SAMPLES) -> None:
    """Write *samples* to *path*."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(samples)) + b"\n")
