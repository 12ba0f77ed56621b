"""`sequence restore`: the tables of a backup take the place of the present ones, and Kafka gets the projects again.

Can be repeated after an interruption. The sink must not run; it fills in later what came after the backup.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import msgspec

from deploy.embedded.clickhouse.logins import Login, LoginsFile
from deploy.errors import OperateError
from deploy.local import restoring
from deploy.operate import backup_projects, logs, offsets, typed_views
from deploy.operate.backup_directory import LOGINS, PROJECTS, Directory
from deploy.operate.backup_manifest import Manifest
from deploy.operate.backup_runs import connected
from deploy.operate.backup_statements import Destination
from deploy.operate.restore_tables import Checked, Restorer
from deploy.operate.servers import Servers
from processors.clickhouse import migrate
from processors.clickhouse.errors import ClickHouseError, OutdatedTablesError
from processors.sink.logs import LogIdentity
from schemas.topics import Topics


@dataclass(frozen=True, slots=True)
class Plan:
    """What to restore, and what a person has agreed to."""

    directory: Directory
    manifest: Manifest
    destination: Destination
    tables_only: bool
    """Whether Kafka is left out: neither the projects nor its log are compared with it."""
    replace: bool
    """Whether tables that have rows may be replaced."""
    new_kafka: bool
    """Whether this Kafka replaces the one of the backup for good."""
    state: Path | None
    """State directory of the local stack."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did."""

    tables: Sequence[Checked]
    projects: int
    """Records written to `projects.v1`."""
    log: int | None
    """ID of the new Kafka's log; None if it is the one of the backup."""


def verify(servers: Servers, plan: Plan) -> list[Checked]:
    """Restore the tables into a database beside, compare them with the manifest and remove it."""
    servers.refuse_cluster("sequence backup verify")
    database = servers.clickhouse.database
    with plan.directory.read(), connected(servers) as clickhouse:
        restorer = Restorer(clickhouse, plan, f"verify_of_{database}", database)
        restorer.check()
        try:
            return restorer.restore_beside()
        finally:
            restorer.drop_beside()


def restore(
    servers: Servers, plan: Plan, confirm: Callable[[dict[str, int]], None], say: Callable[[str], None]
) -> Restored:
    """Restore tables, projects and logins. *confirm* raises if the rows that are replaced must stay.

    Raises `OperateError`; its message says whether something was changed.
    """
    servers.refuse_cluster("sequence restore")
    database = servers.clickhouse.database
    with plan.directory.read(), _without_sinks(plan), connected(servers) as clickhouse:
        restorer = Restorer(clickhouse, plan, f"restore_of_{database}", database)
        restorer.check()
        is_other_log = False if plan.tables_only else _check_kafka(servers, plan, say)
        tables: Sequence[Checked] = ()
        if not restorer.is_unfinished():
            if rows := restorer.present_rows():
                confirm(rows)
            tables = restorer.restore_beside()
            if faults := [f"{each.table}: {each.fault}" for each in tables if each.fault]:
                restorer.drop_beside()
                raise OperateError(
                    f"The backup {plan.manifest.name} is damaged: {'; '.join(faults)}. Nothing was changed. "
                    "Use another backup."
                )
        restorer.take_places(say)
        _migrate(servers, say)
        projects = 0 if plan.tables_only else _restore_projects(servers, plan)
        _restore_logins(plan)
    _refresh_views(servers, say)
    log = logs.add(servers, None)[0] if is_other_log else None
    return Restored(tables, projects, log)


def _without_sinks(plan: Plan) -> AbstractContextManager[None]:
    return nullcontext() if plan.state is None else restoring.held(plan.state)


def _check_kafka(servers: Servers, plan: Plan, say: Callable[[str], None]) -> bool:
    """Return whether this Kafka is another than that of the backup; `OperateError` if a sink runs."""
    topics = Topics(servers.kafka.topic_prefix)
    servers.ask_kafka(
        lambda kafka: offsets.group_without_members(kafka, f"{topics.prefix}-sink", topics.of_tables, say)
    )
    identity = servers.ask_kafka(logs.identity)
    known = [
        LogIdentity(log.cluster_id, log.topic_prefix, log.topic_version, log.partitions) for log in plan.manifest.logs
    ]
    if not known or identity in known:
        return False
    if not plan.new_kafka:
        raise OperateError(
            f"The backup {plan.manifest.name} is of {'; '.join(map(str, known))}. This is {identity}, which does not "
            "have what came after the backup. Nothing was changed. Add --new-kafka if it replaces the other for good."
        )
    return True


def _restore_projects(servers: Servers, plan: Plan) -> int:
    file = plan.directory.path / plan.manifest.name / PROJECTS
    if plan.manifest.projects is None:
        return 0
    records = backup_projects.decode(file.read_bytes())
    return servers.ask_kafka(lambda kafka: backup_projects.add_missing(kafka, records))


def _migrate(servers: Servers, say: Callable[[str], None]) -> None:
    try:
        applied = migrate.migrate(servers.clickhouse, say=say)
    except OutdatedTablesError as error:
        say(str(error))
        return
    if applied:
        say(f"Applied the migrations that the backup does not have: {', '.join(applied)}.")


def _refresh_views(servers: Servers, say: Callable[[str], None]) -> None:
    with servers.tables() as clickhouse:
        try:
            typed_views.refresh(clickhouse)
        except ClickHouseError as error:
            say(f"The typed views are not made yet: {error}. The sink makes them.")


def _restore_logins(plan: Plan) -> None:
    """Add the logins of projects of a local stack that are not there."""
    file = plan.directory.path / plan.manifest.name / LOGINS
    if plan.state is None or not file.exists():
        return
    with LoginsFile(plan.state).changing() as present:
        for login in msgspec.json.decode(file.read_bytes(), type=list[Login]):
            present.setdefault(login.name, login)
