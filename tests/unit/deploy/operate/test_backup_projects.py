"""Records of `projects.v1` in a backup: those that are missing are written, nothing is undone."""

from __future__ import annotations

from deploy.operate import backup_projects
from schemas.project_table import ProjectTable
from schemas.projects import Deployment, Disabled, ProjectCreation, Revocation, encode_entry
from schemas.records import KeyValue


def created(project: str, creation: str) -> KeyValue:
    return encode_entry(ProjectCreation(project, project, 1), project, creation)


def test_records_survive_the_file() -> None:
    records = [created("shop", "a"), encode_entry(Disabled(disabled=True), "shop")]

    assert backup_projects.decode(backup_projects.encode(records)) == records


def test_only_missing_records_are_written() -> None:
    enabled, disabled = (encode_entry(Disabled(disabled=value), "shop") for value in (False, True))
    revoked = encode_entry(Revocation(1), "digest")
    present = [created("shop", "b"), enabled, revoked]
    wanted = [created("shop", "a"), created("app", "c"), disabled, encode_entry(Deployment(4, 1), "v1")]

    assert list(backup_projects.missing_records(present, wanted)) == [created("app", "c")]
    assert list(backup_projects.missing_records(wanted, wanted)) == []
    assert list(backup_projects.missing_records([], wanted)) == wanted[:-1]


def test_batches_have_every_record_once_and_are_below_the_limit_of_kafka() -> None:
    records = [created(f"project-{number}", "x" * 40) for number in range(1000)]
    batches = list(backup_projects.batches(records))

    assert [record for batch in batches for record in batch] == records
    assert max(sum(len(key) + len(value) for key, value in batch) for batch in batches) < 16_384
    table = ProjectTable()
    for key, value in records:
        table.apply(key, value)
    assert len(table.projects) == 1000
