"""What events cost, for `sequence capacity`. Written by `python -m tests.benchmarks.capacity fit`.

Measured on 2026-12-01 with `python -m tests.benchmarks.capacity measure` on 2 cores of AMD EPYC.
`tests/benchmarks/capacity_samples.json` has the measurements, and docs/capacity.md explains them.
"""

from __future__ import annotations

from collections.abc import Mapping

from deploy.operate.capacity_size import Size

CPU_MICROSECONDS: Mapping[str, Mapping[str, float]] = {
    "gateway": {"process": 2630, "request": 55.3, "start": 878, "batch": 45.4, "event": 5.61, "kilobyte": 6.66},
    "dedupe": {"process": 5210, "start": 3880, "batch": 95.6, "event": 12.3, "kilobyte": 8.62},
    "persons": {"process": 8490, "start": 1440, "batch": 772, "event": 23.6, "kilobyte": 42},
    "sink": {"process": 11600, "insert": 6310, "event": 9.01, "kilobyte": 6.2},
    "kafka": {"partition": 7020, "client": 5520, "start": 909, "event": 0.519, "kilobyte": 2.81},
    "clickhouse": {"process": 18800, "sink": 7170, "insert": 18800, "kilobyte": 33.9, "name": 0.845, "counted": 2.82},
}
"""By part and unit, microseconds of CPU time. A kilobyte is 1,000 bytes of events, and a process costs per second."""

MEMORY_MIB: Mapping[str, Mapping[str, float]] = {
    "gateway": {"process": 53.5, "megabyte": 0.223},
    "dedupe": {"process": 92.1, "megabyte": 3.55},
    "persons": {"process": 75.4, "megabyte": 3.91},
    "sink": {"partition": 22.6, "megabyte": 10.8},
    "kafka": {"process": 411, "megabyte": 2.43},
    "clickhouse": {"process": 389, "megabyte": 51.4},
}
"""By part and unit, MiB of resident memory at its peak. A megabyte is one of events per second."""

COUNTED_PER_ROW = 3.08
"""Rows that the catalogue reads for each new row."""

RECORD_BYTES: Mapping[str, Size] = {
    "duplicates.v1": Size(fixed=274.0, per_byte=1.01, per_name=0.0, per_text_byte=0.0),
    "events.v1": Size(fixed=281.0, per_byte=0.997, per_name=0.0, per_text_byte=0.0),
    "identifies.v1": Size(fixed=277.0, per_byte=1.0, per_name=0.0, per_text_byte=0.0),
    "items.v1": Size(fixed=204.0, per_byte=0.988, per_name=0.0, per_text_byte=0.0),
    "persons.v1": Size(fixed=121.0, per_byte=0.997, per_name=1.99, per_text_byte=0.0),
}
"""Bytes of a record on the disk of one broker, by topic."""

ROW_BYTES: Mapping[str, Size] = {
    "duplicates": Size(fixed=85.1, per_byte=0.0, per_name=3.88, per_text_byte=0.289),
    "events": Size(fixed=57.7, per_byte=0.0, per_name=3.9, per_text_byte=0.591),
    "identifies": Size(fixed=66.1, per_byte=0.0, per_name=5.48, per_text_byte=0.646),
    "person_states": Size(fixed=30.4, per_byte=0.0, per_name=5.42, per_text_byte=0.646),
}
"""Bytes of a row in a part that is merged, by table."""

PERSON_BYTES = Size(fixed=95.5, per_byte=0.0, per_name=10.9, per_text_byte=1.16)
"""Bytes of a person in a local store."""

DEDUPE_ENTRY_BYTES = 46.5
"""Bytes of an entry in a local store."""
