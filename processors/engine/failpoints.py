"""Failpoints: named places between the steps of a batch, where a fault test interrupts the process."""

from __future__ import annotations


def hit(name: str) -> None:
    """Do nothing. Fault tests replace this function, so call it as `failpoints.hit`.

    Names: `decided`, `produced`, `applied`, `inserted` and `processed`; of retention `recorded`, `kept` and `removed`;
    of an erasure `listed`, `noted` and `hidden`. Each is after the step that it names.
    """
