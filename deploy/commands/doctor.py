"""`sequence doctor`: what is wrong or soon will be, with the remedy of each."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click

from deploy.commands.status import gateways_option
from deploy.durations import Duration
from deploy.error_messages import report_errors

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.operate.doctor_result import Report
    from deploy.operate.probe import Probe, Sender
    from deploy.operate.servers import Servers

# Each command imports what it runs, so that `sequence --help` loads no client of Kafka or ClickHouse.
# ruff: noqa: PLC0415

ERRORS_EXIT_CODE = 3
"""Exit code if a finding is an error. Warnings alone are 1."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
@gateways_option
@click.option("--probe", "is_probe", is_flag=True, help="Send one event instead, and time each stage up to its row.")
@click.option("--project", "project_id", metavar="ID", help="Project of the probe.  [default: that of the token]")
@click.option("--timeout", type=Duration(), default="30s", show_default=True, help="Time that the probe may take.")
@report_errors
def doctor_command(  # an argument for each option
    gateways: tuple[str, ...], project_id: str | None, timeout: int, *, as_json: bool, is_probe: bool
) -> None:
    """Check the pipeline, and say what to do about each finding.

    Checks what runs, disks, open files, clocks, topics, retention, versions, tables, parts, views, log tables of
    ClickHouse, names of properties and positions. Changes nothing. Exits with 0 without a finding, with 1 if there are
    warnings, and with 3 if there are errors.

    --probe sends the event `Sequence Probe` of the user `sequence-probe`, which stays in the table `events`. It uses
    the token SEQUENCE_PROBE_TOKEN, by default that of the local stack's project `dev`. Exits with 3 if a stage is not
    reached in time.

    \b
    Fields of --json: at, checks: name, about, findings: level, check, what, why,
    remedy. With --probe: projectId, messageId, stages: stage, seconds, about, missing.
    """  # noqa: D301  # \b keeps click from wrapping the list
    from deploy.operate import servers, status_local

    if project_id is not None and not is_probe:
        raise click.UsageError("--project belongs to --probe.")
    found = servers.find(os.environ)
    state = status_local.directory_of(found, os.environ)
    addresses = status_local.gateways_to_ask(gateways, state, os.environ)
    if is_probe:
        _run_probe(found, _sender(addresses, state, timeout), project_id, as_json=as_json)
    else:
        _examine(found, addresses, state, as_json=as_json)


def _examine(found: Servers, gateways: Sequence[str], state: Path | None, *, as_json: bool) -> None:
    from deploy.operate import doctor, status_processes
    from deploy.operate.doctor_result import describe, worst
    from deploy.operate.status import Asked
    from schemas.settings import TopicSettings, load

    workers = {} if state is None else status_processes.workers(os.environ)
    asked = Asked(found, gateways, state, workers=workers)
    report = doctor.examine(asked, load(TopicSettings, os.environ))
    click.echo(json.dumps(describe(report), indent=2, ensure_ascii=False) if as_json else "\n".join(lines(report)))
    level = worst(report.findings)
    if level is not None:
        raise click.exceptions.Exit(ERRORS_EXIT_CODE if level == "error" else 1)


def _sender(gateways: Sequence[str], state: Path | None, timeout: int) -> Sender:
    """Return how the probe is sent; raises `SettingsError` or `UsageError` without a gateway or a token."""
    from deploy import secret_files
    from deploy.local.quickstart import TOKEN_FILE
    from deploy.operate.probe import Sender
    from deploy.operate.probe_settings import ProbeSettings
    from schemas.settings import SettingsError, load

    if not gateways:
        raise click.UsageError("Pass the address of a gateway: --gateway http://127.0.0.1:8080")
    token = load(ProbeSettings, os.environ).token
    if not token and state is not None:
        token = secret_files.read(state / TOKEN_FILE)
    if not token:
        raise SettingsError("SEQUENCE_PROBE_TOKEN: must be set to a write token of the project")
    return Sender(gateways[0], token, float(timeout))


def _run_probe(found: Servers, sender: Sender, project_id: str | None, *, as_json: bool) -> None:
    import msgspec

    from deploy.operate.probe import probe

    result = probe(found, sender, project_id)
    if as_json:
        click.echo(json.dumps(msgspec.to_builtins(result), indent=2))
    else:
        click.echo("\n".join(probe_lines(result)))
    if result.missing:
        raise click.exceptions.Exit(ERRORS_EXIT_CODE)


def probe_lines(result: Probe) -> Iterator[str]:
    """Yield the times of the probe for people."""
    from deploy import listing

    yield f"Project {result.project_id}, messageId {result.message_id}."
    yield ""
    before, rows = 0.0, []
    for each in result.stages:
        rows.append(
            [each.stage, f"{1000 * each.seconds:.0f} ms", f"{1000 * (each.seconds - before):+.0f} ms", each.about]
        )
        before = each.seconds
    rows += [[stage, "-", "-", "not reached in time"] for stage in result.missing]
    yield listing.table(["STAGE", "AFTER", "STEP", "WHERE"], rows)
    if result.missing:
        yield ""
        yield f"Run `sequence trace {result.message_id}` and `sequence status`."


def lines(report: Report) -> Iterator[str]:
    """Yield the report for people."""
    from deploy import listing
    from deploy.operate import finding
    from deploy.operate.doctor_result import worst

    rows = [[each.name, worst(each.findings) or "ok", each.about] for each in report.checks]
    yield listing.table(["CHECK", "RESULT", "FOUND"], rows)
    yield ""
    findings = report.findings
    for each in findings:
        yield from finding.lines(each)
    yield f"{len(findings)} {'finding' if len(findings) == 1 else 'findings'}." if findings else "No findings."
