"""Every setting of every process, and the variables that look like a setting and are none."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

from deploy.console.settings import ConsoleSettings
from deploy.embedded.clickhouse.settings import EmbeddedClickHouseSettings
from deploy.logging import LogSettings
from deploy.operate.backup_settings import BackupSettings
from deploy.operate.probe_settings import ProbeSettings
from deploy.operate.replay_settings import ReplaySettings
from deploy.operate.status_settings import StatusSettings
from deploy.settings import LocalSettings
from gateway.settings import GatewaySettings
from processors.settings import AnalystSettings, WorkerSettings
from schemas.secret_variables import SUFFIX
from schemas.settings import TopicSettings, declarations

PREFIX = "SEQUENCE_"
MOST_NEAREST = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AllSettings:
    """The settings of all processes."""

    local: LocalSettings = field(default_factory=LocalSettings)
    embedded_clickhouse: EmbeddedClickHouseSettings = field(default_factory=EmbeddedClickHouseSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    worker: WorkerSettings = field(default_factory=WorkerSettings)
    console: ConsoleSettings = field(default_factory=ConsoleSettings)
    topics: TopicSettings = field(default_factory=TopicSettings)
    analyst: AnalystSettings = field(default_factory=AnalystSettings)
    logs: LogSettings = field(default_factory=LogSettings)
    backup: BackupSettings = field(default_factory=BackupSettings)
    probe: ProbeSettings = field(default_factory=ProbeSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    status: StatusSettings = field(default_factory=StatusSettings)


def unknown_variables(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield each variable of *environ* that begins like a setting and is none, and the nearest settings or nothing."""
    names: set[str] = set()
    for declared in declarations(AllSettings):
        names |= {declared.variable, declared.variable + SUFFIX} if declared.secret else {declared.variable}
    for name in sorted(environ):
        if name.startswith(PREFIX) and name not in names:
            yield name, _nearest(name, names)


def _nearest(name: str, names: Iterable[str]) -> str:
    """Return which of *names*, at most `MOST_NEAREST`, *name* probably means, or nothing.

    A word too many or too few, as in SEQUENCE_LOCAL_GATEWAY_PORT and SEQUENCE_PORT, is likelier than another word.
    """
    words = _words(name)
    distances = {each: len(words ^ _words(each)) for each in names if words <= _words(each) or _words(each) <= words}
    least = min(distances.values(), default=0)
    nearest = sorted(each for each, distance in distances.items() if distance == least)
    if 1 <= len(nearest) <= MOST_NEAREST:
        return " or ".join(nearest)
    return next(iter(get_close_matches(name, names, n=1, cutoff=0.8)), "")


def _words(name: str) -> frozenset[str]:
    return frozenset(name.removeprefix(PREFIX).split("_"))


def warn_of_unknown_variables(environ: Mapping[str, str] = os.environ) -> None:
    """Log each variable that `unknown_variables` finds. A service calls this once its log is configured."""
    for name, nearest in unknown_variables(environ):
        log.warning("%s is not a setting and is ignored.%s", name, nearest and f" Did you mean {nearest}?")
