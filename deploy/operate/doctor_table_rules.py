"""What the answers of ClickHouse mean for `sequence doctor`. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from deploy.operate.doctor_result import GIB, Check
from deploy.operate.finding import Finding
from schemas.clickhouse import TABLES
from schemas.sizes import size

OLDEST_VERSION = (26, 8)
"""The oldest version that the tests run on."""
MANY_NAMES = 2_000
MANY_PARTS, TOO_MANY_PARTS = 300, 1_000
"""Active parts of one partition of a table. From 1,000 on ClickHouse delays INSERTs."""
REJECTED_MINUTES = 15
_FEW_REJECTED = 10
"""Fewer rejected items of a project are not reported."""
TOO_SLOW = "answers of ClickHouse"
"""Name of the check that is there only if ClickHouse is too slow for the others."""
_LOG_BYTES = GIB
_CHOICES = {("events", "object_shared_data_serialization_version"): "advanced"}
"""Values that an administrator may choose in place of the declared ones; see docs/views.md, Faster properties."""
_SETTING = re.compile(r"(\w+)\s*=\s*('[^']*'|[\w.]+)")
_TABLE = re.compile(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)")


def version(text: str) -> Check:
    """Return the check of a version."""
    numbers = tuple(int(number) for number in re.findall(r"\d+", text)[:2])
    findings = []
    if numbers < OLDEST_VERSION:
        oldest = ".".join(map(str, OLDEST_VERSION))
        findings.append(
            Finding(
                level="warning",
                check="version",
                what=f"ClickHouse has the version {text}; the oldest that is tested is {oldest}.",
                why="Settings of the tables may be unknown to it, and INSERTs may behave in another way.",
                remedy=f"Upgrade ClickHouse to {oldest} or later.",
            )
        )
    return Check(name="version", about=f"ClickHouse {text}", findings=findings)


def of_tables(what: str, command: str) -> Finding:
    """Return the finding about a table that the sink cannot write; *command* corrects it."""
    return Finding(
        level="error",
        check="tables",
        what=what,
        why="The sink of this version does not write other tables.",
        remedy=f"Run `{command}`." if not command.endswith("version") else f"Run `{command}.",
    )


def declared_settings(statements: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the settings of each table that *statements*, those of the migrations, create."""
    found = {}
    for statement in statements:
        if (name := _TABLE.match(statement)) is not None:
            found[name[1]] = _settings(statement)
    return found


def _settings(statement: str) -> dict[str, str]:
    _, _, text = statement.rpartition("SETTINGS ")
    return {name: value.strip("'") for name, value in _SETTING.findall(text)}


def different_settings(table: str, declared: Mapping[str, str], ddl: str) -> Iterator[Finding]:
    """Yield a finding for each declared setting that the table does not have."""
    actual = _settings(ddl)
    for name, value in declared.items():
        if actual.get(name) not in (value, _CHOICES.get((table, name))):
            yield Finding(
                level="warning",
                check="tables",
                what=f"{table} has {name}={actual.get(name, 'default')}, declared is {value}.",
                why="The settings protect rows at a power loss, bound open files and keep INSERTs idempotent.",
                remedy=f"Run `ALTER TABLE {table} MODIFY SETTING {name} = '{value}'` on ClickHouse.",
            )


def missing_columns(actual: set[tuple[str, str]], existing: set[str]) -> Iterator[Finding]:
    """Yield a finding for each existing table without a column that the sink writes."""
    for table in TABLES:
        if table.name in existing and (
            missing := [name for name, _ in table.columns if (table.name, name) not in actual]
        ):
            yield of_tables(f"{table.name} lacks the columns {', '.join(missing)}.", "sequence tables migrate")


def many_parts(counts: Mapping[tuple[str, str], int]) -> Iterator[Finding]:
    """Yield a finding for each partition of a table with many active parts."""
    for (table, partition), count in counts.items():
        if count > MANY_PARTS:
            yield Finding(
                level="error" if count > TOO_MANY_PARTS else "warning",
                check="parts",
                what=f"{table} has {count} active parts in the partition {partition}.",
                why="Merges do not keep up. Queries slow down, and ClickHouse delays INSERTs from 1,000 parts on.",
                remedy="Check CPU and disk of ClickHouse, and its table system.merges. `SYSTEM START MERGES` starts "
                "merges that were stopped.",
            )


def failing_view(view: str, source: str, reason: str) -> Finding:
    """Return the finding about a materialized view over the table *source*."""
    return Finding(
        level="error",
        check="views",
        what=f"The materialized view {view} fails: {reason}",
        why=f"Rows are in {source}, but not in the target of the view.",
        remedy="Correct or drop the view, then fill its target for the time of the failure.",
    )


def growing_logs(sizes: Mapping[str, tuple[int, bool]]) -> Iterator[Finding]:
    """Yield a finding for each large log table without a TTL; *sizes* has bytes and whether there is one."""
    for name, (count, has_ttl) in sizes.items():
        if count > _LOG_BYTES and not has_ttl:
            yield Finding(
                level="warning",
                check="log tables",
                what=f"system.{name} has {size(count)} and no TTL.",
                why="ClickHouse's own logs grow until the disk is full.",
                remedy=f"Run `ALTER TABLE system.{name} MODIFY TTL event_date + INTERVAL 7 DAY` on ClickHouse, and "
                "set the TTL in its configuration.",
            )


def many_names(counts: Mapping[str, tuple[int, str]]) -> Iterator[Finding]:
    """Yield a finding for each project with thousands of names; *counts* has the number and an example."""
    for project, (count, example) in counts.items():
        if count > MANY_NAMES:
            yield Finding(
                level="warning",
                check="properties",
                what=f"Project {project} has sent about {count} names of properties in a day, for example {example}.",
                why="Names that contain ids cannot be queried together, and a query of a rare name reads all of them.",
                remedy='Send the id as a value: `{"product": "4711"}` in place of `{"4711": true}`.',
            )


def rolled_back(lags: Sequence[tuple[str, int, int, int]]) -> Check:
    """Return the check of positions; *lags* has table, partition, position and the position at the last commit."""
    findings = [
        Finding(
            level="error",
            check="positions",
            what=f"{table}, partition {partition}: the rows show source offset {position}, but the sink had written "
            f"{committed}.",
            why="The table was restored or emptied, or its newest rows were deleted.",
            remedy="Restart `sequence worker sink`: it writes again what the topics have. To keep rows deleted, run "
            "`sequence positions keep` first.",
        )
        for table, partition, position, committed in lags
    ]
    return Check(name="positions", about=f"{len(lags)} below the last commit", findings=findings)


def rejected_projects(counts: Mapping[str, tuple[int, int, str]]) -> Iterator[Finding]:
    """Yield a finding for each project of which gateways reject more items than they accept.

    *counts* has rejected items, accepted items and the most frequent code, by project.
    """
    for project, (rejected, accepted, code) in counts.items():
        if rejected >= _FEW_REJECTED and rejected > accepted:
            yield Finding(
                level="warning",
                check="rejections",
                what=f"Of project {project}, {rejected} of {rejected + accepted} items were rejected in the last "
                f"{REJECTED_MINUTES} minutes, mostly with {code}.",
                why="Its producer sends items that are not valid, often since its last release.",
                remedy=f"Run `sequence rejected list --project {project}`. Correct the producer, and replay the items.",
            )


def too_slow(address: str, seconds: float, late: Sequence[str]) -> Check:
    """Return the check that has the names of those that were left out after *seconds*."""
    finding = Finding(
        level="warning",
        check=TOO_SLOW,
        what=f"ClickHouse at {address} took more than {seconds:g} s for the first checks. "
        f"Not checked: {', '.join(late)}.",
        why="It is overloaded, or lacks CPU, memory or disk. INSERTs and queries wait as long.",
        remedy="Look at its running queries, merges and materialized views, and at the load of its machine.",
    )
    return Check(name=TOO_SLOW, about=f"{len(late)} checks were left out", findings=[finding])
