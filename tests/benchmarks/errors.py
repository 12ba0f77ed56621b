"""The error of the benchmarks."""

from __future__ import annotations


class BenchError(Exception):
    """A benchmark cannot run as requested, or did not reach the state that it waits for."""
