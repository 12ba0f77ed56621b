"""Open files of the command: the limit, which every process that it starts inherits, and the standard streams."""

from __future__ import annotations

import contextlib
import os
import resource

WANTED = 65_536
"""Enough for 10,000 connections or thousands of partitions. Some programs allocate memory for each allowed file."""
_STEPS = (WANTED, 10_240)
"""macOS refuses more than 10,240 although its hard limit is unlimited."""


def open_standard_streams() -> None:
    """Open `/dev/null` in place of a standard stream that is closed, so that no other file gets its number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free. The program's children get streams of their own.
            os.open(os.devnull, os.O_RDWR)


def raise_limit() -> int:
    """Raise the soft limit as far as the hard limit allows, up to `WANTED`, and return it."""
    for step in _STEPS:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        target = step if hard == resource.RLIM_INFINITY else min(step, hard)
        if soft == resource.RLIM_INFINITY or soft >= target:
            break
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WANTED if soft == resource.RLIM_INFINITY else soft
