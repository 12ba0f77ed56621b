"""Limit of open files: raised once by the command, and inherited by every process that it starts."""

from __future__ import annotations

import contextlib
import resource

WANTED = 65_536
"""Enough for 10,000 connections or thousands of partitions. Some programs allocate memory for each allowed file."""
_STEPS = (WANTED, 10_240)
"""macOS refuses more than 10,240 although its hard limit is unlimited."""


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
