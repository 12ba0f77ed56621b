"""Rebuild: local state that is restored from the changelog must equal the state before."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from processors.engine.rocksdb import PartitionStore, StoreConfig
from processors.persons.replay import FORGET
from schemas.topics import DAY_MS, Topics
from tests.faults.process_faults import delete_state
from tests.faults.trial import Trial
from tests.support import logs
from tests.support.services import eventually

TABLES = {"seen": StoreConfig(window_ms=7 * DAY_MS), "persons": StoreConfig()}

State = dict[tuple[str, int], tuple[int, dict[bytes, bytes]]]
"""Changelog offset and all entries, by table and partition."""


def rebuild(trial: Trial) -> None:
    """Copy the local state of all tables, delete it, let the workers restore it, and compare."""
    stack = trial.stack
    topics = Topics(stack.kafka.topic_prefix)
    ends = {("seen", p): end - 1 for p, end in logs.ends(stack.kafka, topics.events).items() if end}
    ends |= {("persons", p): end - 1 for p, end in logs.ends(stack.kafka, topics.persons).items() if end}
    with tempfile.TemporaryDirectory() as kept:
        workers = stack.state / "workers"
        delete_state(
            stack,
            [service for kind in ("dedupe", "persons") for service in stack.services(kind)],
            keep=lambda service: _copy(workers / service, Path(kept) / service),
        )
        before = _states(Path(kept))
    after: list[State] = []

    def rebuilt() -> bool:
        after[:] = [_copied_states(workers)]
        return {table: position for table, (position, _) in after[0].items()} == ends

    eventually(rebuilt, f"state is restored up to {ends}", within_seconds=90, every_seconds=1.0)
    differing = [table for table in ends if before.get(table, (-1, {}))[1] != after[0][table][1]]
    trial.violations["partitions rebuilt differently"] = len(differing)


def _copy(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


def _copied_states(workers: Path) -> State:
    """Read the stores from a copy of *workers*, because the running workers hold the locks of the originals."""
    with tempfile.TemporaryDirectory() as copied:
        target = Path(copied) / "workers"
        try:
            shutil.copytree(workers, target)
        except shutil.Error:  # a file was deleted meanwhile: the workers are still writing
            return {}
        return _states(target)


def _states(directory: Path) -> State:
    """Return the newest store of each partition among all worker directories below *directory*."""
    newest: State = {}
    for table, layout in TABLES.items():
        for path in directory.glob(f"*/{table}/*"):
            state = PartitionStore(path, layout)
            entries = state.entries()
            # Whether files are still to be compacted: a restored store says so as well.
            entries.pop(FORGET, None)
            found = (state.changelog_offset, entries)
            state.close()
            key = (table, int(path.name))
            if found[0] >= 0 and found[0] > newest.get(key, (-1, {}))[0]:
                newest[key] = found
    return newest
