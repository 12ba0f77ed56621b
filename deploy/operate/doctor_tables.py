"""Checks of ClickHouse: version, disks, tables as declared, parts, views, log tables, properties, positions."""

from __future__ import annotations

import time
from collections.abc import Callable

from deploy.operate import doctor_table_rules as rules
from deploy.operate.doctor_result import Check, disk, unchecked
from deploy.operate.finding import Finding
from processors.clickhouse import migrate
from processors.clickhouse.client import ClickHouse, server_url
from processors.clickhouse.codes import summary
from processors.clickhouse.errors import ClickHouseError, MigrationError, OutdatedTablesError
from schemas.clickhouse import DUPLICATES, EVENTS, IDENTIFIES, TABLES
from schemas.clickhouse.replicated import replicated
from schemas.settings import ClickHouseSettings
from schemas.sizes import size

PATIENCE_SECONDS = 20.0
"""Time after which no check of ClickHouse begins. Usually all of them take a second."""
_EXACT_SECONDS = 2.0
"""Half of it is the error of the server's clock."""
_SAMPLE_SECONDS = 3
_TRIAL = {"max_execution_time": 2, "timeout_overflow_mode": "break", "max_memory_usage": 500_000_000, "max_threads": 1}
Ask = Callable[[ClickHouse], Check]


def checks(settings: ClickHouseSettings, clickhouse: ClickHouse) -> list[Check]:
    """Return every check of the server. One that the user may not make is a finding and does not stop the others.

    Those that have not begun after `PATIENCE_SECONDS` are left out, which is a finding as well.
    """
    asked: dict[str, Ask] = {
        "version": _version,
        "disk": _disks,
        "tables": lambda client: _tables(settings, client),
        "parts": _parts,
        "mutations": _mutations,
        "views": _views,
        "log tables": _log_tables,
        "properties": _properties,
        "rejections": _rejections,
    }
    found, late = [], []
    began = time.monotonic()
    for name, ask in asked.items():
        if time.monotonic() - began > PATIENCE_SECONDS:
            late.append(name)
            continue
        try:
            found.append(ask(clickhouse))
        except ClickHouseError as error:
            found.append(unchecked(name, summary(str(error))))
    if late:
        found.append(rules.too_slow(server_url(settings).without_login, PATIENCE_SECONDS, late))
    return found


def ahead(clickhouse: ClickHouse) -> float | None:
    """Return how many seconds the server's clock is ahead of this machine's; None if its answer took too long."""
    before = time.time()
    shown = clickhouse.clock()
    after = time.time()
    return shown - (before + after) / 2 if after - before < _EXACT_SECONDS else None


def _version(clickhouse: ClickHouse) -> Check:
    (row,) = clickhouse.query("SELECT version() AS version")
    return rules.version(str(row["version"]))


def _disks(clickhouse: ClickHouse) -> Check:
    rows = clickhouse.query("SELECT name, path, free_space AS free, total_space AS total FROM system.disks")
    judged = [
        disk(f"ClickHouse's disk {row['name']}", str(row["path"]), int(row["free"]), int(row["total"]))
        for row in rows
        if 0 < int(row["total"]) < 2**62  # An object store has no size.
    ]
    about = "; ".join(text for text, _ in judged) or "no disk tells its size"
    return Check(name="disk", about=about, findings=[finding for _, found in judged for finding in found])


def _tables(settings: ClickHouseSettings, clickhouse: ClickHouse) -> Check:
    findings: list[Finding] = []
    try:
        if pending := migrate.pending(settings):
            findings.append(
                rules.of_tables(f"Migrations are not applied: {', '.join(pending)}.", "sequence tables migrate")
            )
    except OutdatedTablesError as error:
        findings.append(rules.of_tables(str(error).partition(" Run ")[0], "sequence tables rebuild"))
    except MigrationError as error:
        findings.append(rules.of_tables(str(error), "sequence tables migrate` of the newer version"))
    rows = clickhouse.query(
        "SELECT name, create_table_query AS ddl FROM system.tables WHERE database = currentDatabase()"
        " AND has({names:Array(String)}, name)",
        {"names": [table.name for table in TABLES]},
    )
    statements = (text for each in migrate.read_migrations() for text in each.statements)
    declared = rules.declared_settings(replicated(text, clickhouse.cluster) for text in statements)
    for row in rows:
        findings += rules.different_settings(str(row["name"]), declared.get(row["name"], {}), str(row["ddl"]))
    columns = clickhouse.query("SELECT table, name FROM system.columns WHERE database = currentDatabase()")
    findings += rules.missing_columns({(row["table"], row["name"]) for row in columns}, {row["name"] for row in rows})
    return Check(name="tables", about=f"{len(rows)} tables", findings=findings)


def _parts(clickhouse: ClickHouse) -> Check:
    rows = clickhouse.query(
        "SELECT table, partition, count() AS parts, sum(bytes_on_disk) AS bytes FROM system.parts"
        " WHERE active AND database = currentDatabase() GROUP BY table, partition"
    )
    counts = {(str(row["table"]), str(row["partition"])): int(row["parts"]) for row in rows}
    detached = clickhouse.query(
        "SELECT table, name, reason FROM system.detached_parts"
        " WHERE database = currentDatabase() AND reason LIKE 'broken%'"
    )
    findings = list(rules.many_parts(counts))
    if detached:
        names = ", ".join(f"{row['table']}: {row['name']}" for row in detached[:5])
        findings.append(
            Finding(
                level="error",
                check="parts",
                what=f"ClickHouse has detached {len(detached)} parts as broken: {names}.",
                why="Their rows are missing in the tables.",
                remedy="Run `sequence audit`, then `sequence audit --refill`. Check the disk.",
            )
        )
    total = sum(int(row["bytes"]) for row in rows)
    about = (
        f"{sum(counts.values())} active parts, {size(total)}, at most {max(counts.values(), default=0)} in a partition"
    )
    return Check(name="parts", about=about, findings=findings)


def _mutations(clickhouse: ClickHouse) -> Check:
    rows = clickhouse.query(
        "SELECT table, command, latest_fail_reason AS reason FROM system.mutations"
        " WHERE database = currentDatabase() AND NOT is_done"
    )
    findings = [
        Finding(
            level="warning",
            check="mutations",
            what=f"{row['table']}: `{str(row['command'])[:120]}` fails: {summary(str(row['reason']))[:200]}",
            why="A mutation that fails is tried for ever and blocks those after it.",
            remedy=f"Correct the cause, or end it: `KILL MUTATION WHERE table = '{row['table']}'`.",
        )
        for row in rows
        if row["reason"]
    ]
    return Check(name="mutations", about=f"{len(rows)} unfinished", findings=findings)


def _views(clickhouse: ClickHouse) -> Check:
    rows = clickhouse.query(
        "SELECT source, database, name, as_select FROM system.tables"
        " INNER JOIN (SELECT name AS source, view_database, view_name FROM system.tables"
        " ARRAY JOIN dependencies_database AS view_database, dependencies_table AS view_name"
        " WHERE database = currentDatabase() AND has({tables:Array(String)}, name)) AS of_ours"
        " ON database = view_database AND name = view_name WHERE engine = 'MaterializedView'",
        {"tables": [table.name for table in TABLES]},
    )
    findings = []
    for row in rows:
        try:
            settings = {**_TRIAL, **_newest(clickhouse, row["source"])}
            clickhouse.discard(f"SELECT * FROM ({row['as_select']})", settings)  # noqa: S608  # the view's own
        except ClickHouseError as error:
            findings.append(
                rules.failing_view(f"{row['database']}.{row['name']}", str(row["source"]), summary(str(error)))
            )
    return Check(name="views", about=f"{len(rows)} materialized views of the tables", findings=findings)


def _newest(clickhouse: ClickHouse, table: str) -> dict[str, str]:
    """Return the setting by which a query reads the newest part of *table* alone."""
    rows = clickhouse.query(
        "SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String}"
        " ORDER BY modification_time DESC LIMIT 1",
        {"table": table},
    )
    part = rows[0]["name"] if rows else ""
    return {"additional_table_filters": f"{{'{clickhouse.database}.{table}': '_part = \\'{part}\\''}}"}


def _log_tables(clickhouse: ClickHouse) -> Check:
    rows = clickhouse.query(
        "SELECT name, ifNull(total_bytes, 0) AS bytes, position(create_table_query, ' TTL ') > 0 AS has_ttl"
        " FROM system.tables WHERE database = 'system' AND name LIKE '%\\_log%' AND engine LIKE '%MergeTree'"
    )
    sizes = {str(row["name"]): (int(row["bytes"]), bool(int(row["has_ttl"]))) for row in rows}
    total = sum(count for count, _ in sizes.values())
    about = f"{len(sizes)} log tables, {size(total)}"
    return Check(name="log tables", about=about, findings=list(rules.growing_logs(sizes)))


def _properties(clickhouse: ClickHouse) -> Check:
    rows = clickhouse.query(
        "SELECT project_id, uniq(name) AS names, any(name) AS example FROM"  # noqa: S608  # our own number
        " (SELECT project_id, arrayJoin(JSONAllPaths(properties)) AS name FROM events"
        " WHERE received_at > now() - INTERVAL 1 DAY) GROUP BY project_id"
        f" SETTINGS max_execution_time = {_SAMPLE_SECONDS}, timeout_overflow_mode = 'break'"
    )
    counts = {str(row["project_id"]): (int(row["names"]), str(row["example"])) for row in rows}
    project, (most, _) = max(counts.items(), key=lambda item: item[1][0], default=("", (0, "")))
    about = f"at most {most} names of properties in a day" + (f", in project {project}" if project else "")
    return Check(name="properties", about=about, findings=list(rules.many_names(counts)))


def _rejections(clickhouse: ClickHouse) -> Check:
    recent = f"received_at > now() - INTERVAL {rules.REJECTED_MINUTES} MINUTE"
    accepted = " UNION ALL ".join(
        f"SELECT project_id, 0 AS failed, count() AS passed, '' AS code FROM {table.name}"  # noqa: S608  # our own names
        f" WHERE {recent} GROUP BY project_id"
        for table in (EVENTS, IDENTIFIES, DUPLICATES)
    )
    rows = clickhouse.query(
        "SELECT project_id, sum(failed) AS rejected, sum(passed) AS accepted, max(code) AS frequent FROM ("  # noqa: S608  # our own names
        "SELECT project_id, count() AS failed, 0 AS passed, topK(1)(code)[1] AS code FROM rejected"
        f" WHERE stage = 'gateway' AND {recent} GROUP BY project_id"
        f" UNION ALL {accepted}) GROUP BY project_id HAVING rejected > 0"
        f" SETTINGS max_execution_time = {_SAMPLE_SECONDS}, timeout_overflow_mode = 'break'"
    )
    counts = {
        str(row["project_id"]): (int(row["rejected"]), int(row["accepted"]), str(row["frequent"])) for row in rows
    }
    total = sum(rejected for rejected, _, _ in counts.values())
    about = f"{total} items in {rules.REJECTED_MINUTES} minutes, of {len(counts)} projects"
    return Check(name="rejections", about=about, findings=list(rules.rejected_projects(counts)))
