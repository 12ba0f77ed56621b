"""The sink as a process leaves out the rows that an erasure covers, and the audit counts them as erased."""

from __future__ import annotations

import asyncio
from pathlib import Path

from processors.engine.offsets import read_cluster_id
from schemas.erasure import Erasure, user_digest
from schemas.field_rules import HashKey
from schemas.persons import encode_person, fold
from schemas.projects import Entry, ProjectCreation, encode_entry
from schemas.records import Record, person_key
from tests.integration.test_audit import audited, delete, total
from tests.support import logs
from tests.support.records import identify
from tests.support.sink_pipeline import Pipeline

HASH_KEY = b"k" * 32
CUT = 10
"""Of every partition of `items.v1`; each has some 100 items, all of the user `u`."""


def write(pipeline: Pipeline, entry: Entry, part: str) -> None:
    logs.write(pipeline.kafka, pipeline.topics.projects, [Record(*encode_entry(entry, "p", part))])


def erase(pipeline: Pipeline) -> None:
    """Write the erasure of the user of every item."""
    write(pipeline, ProjectCreation("p", "Shop", 1), "0" * 16)
    write(pipeline, HashKey(HASH_KEY), "1" * 16)
    cluster_id = asyncio.run(read_cluster_id(pipeline.kafka))
    erasure = Erasure(7, (user_digest(HASH_KEY, "u"),), cluster_id, 1, (CUT,) * 4, (0,) * 4)
    write(pipeline, erasure, "2" * 16)


def removed(pipeline: Pipeline) -> set[tuple[int, int, str]]:
    rows = pipeline.query("SELECT _partition, _origin, erasure FROM _removed FINAL")
    return {(int(row["_partition"]), int(row["_origin"]), str(row["erasure"])) for row in rows}


def test_covered_rows_are_left_out_listed_and_counted_as_erased(pipeline: Pipeline, tmp_path: Path) -> None:
    erase(pipeline)
    person = fold(None, identify("m", user_id="u", traits=b'{"a":1}'))
    logs.write(pipeline.kafka, pipeline.topics.persons, [Record(person_key("p", "u"), encode_person(person))])
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written or left out")
        covered = {(partition, offset, "2" * 16) for partition in range(4) for offset in range(CUT)}
        assert len(pipeline.rows()) == 400 - len(covered)
        assert removed(pipeline) == covered

        code, report = audited(pipeline)
        assert (code, total(report, "erased"), total(report, "missing")) == (0, len(covered), 0)
        assert (report["ledger"]["ofUnique"]["erased"], report["ledger"]["unique"]) == (len(covered), 400)

        # What is missing for another reason is refilled; what is erased is not, in spite of the option.
        delete(pipeline, "events", "_origin BETWEEN 5 AND 40")
        gone = 400 - len(covered) - len(pipeline.rows())
        code, report = audited(pipeline, "--refill", "--include-deleted")
        assert (code, report["written"], total(report, "erased")) == (0, gone, len(covered))
        assert len(pipeline.rows()) == 400 - len(covered)
        assert worker.exits == 0

    assert pipeline.query("SELECT count() AS n FROM person_states")[0]["n"] in ("0", 0)


def test_emptied_tables_are_filled_without_the_covered_rows(pipeline: Pipeline, tmp_path: Path) -> None:
    pipeline.send()
    with pipeline.worker(tmp_path) as worker:
        worker.until(pipeline.done, "all events are written")
    pipeline.check()
    erase(pipeline)
    pipeline.execute("TRUNCATE TABLE events", "TRUNCATE TABLE identifies")

    with pipeline.worker(tmp_path) as worker:
        worker.until(lambda: len(pipeline.rows()) >= 400 - 4 * CUT, "the rows are written again")
        assert len(pipeline.rows()) == 400 - 4 * CUT
        assert worker.exits == 0
