"""Makes `deploy/grafana/dashboard.json`: `python -m tests.support.grafana_dashboard` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common, dashboard, prometheus, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement, StackingMode, TooltipDisplayMode
from grafana_foundation_sdk.models.dashboard import DataSourceRef

from tests.support.documents import ROOT

FILE = ROOT / "deploy" / "grafana" / "dashboard.json"
COMMAND = ".venv/bin/python -m tests.support.grafana_dashboard"
_SOURCE = DataSourceRef(type_val="prometheus", uid="${source}")
_RATE = "[$__rate_interval]"
_OURS = '{job=~"sequence(-.+)?"}'


@dataclass(frozen=True, slots=True)
class Chart:
    """One panel: what it shows, and why a person looks at it."""

    title: str
    about: str
    unit: str
    lines: Mapping[str, str]
    """By legend, the expression of each line."""
    stacked: bool = False
    minimum: float | None = 0.0
    """Where the axis begins; None chooses it by the values."""


def _rate(metric: str, by: str, selector: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{selector}{_RATE}))"


def _quantiles(metric: str, by: str) -> dict[str, str]:
    """Return the median and the 95th and 99th percentile of a histogram."""
    buckets = _rate(f"{metric}_bucket", f"{by}, le")
    return {f"p{100 * part:.0f} {{{{{by}}}}}": f"histogram_quantile({part}, {buckets})" for part in (0.5, 0.95, 0.99)}


CHARTS: dict[str, list[Chart]] = {
    "Overview": [
        Chart(
            "Items",
            "Items that gateways accepted and rejected, and events that dedupe wrote.",
            "cps",
            {
                "accepted": f"sum(rate(sequence_gateway_accepted_items_total{_RATE}))",
                "rejected": f"sum(rate(sequence_gateway_rejected_items_total{_RATE}))",
                "{{outcome}} of dedupe": _rate("sequence_worker_items_total", "outcome", '{stage="dedupe"}'),
            },
        ),
        Chart(
            "Received to visible",
            "Time from receipt by the gateway to the acknowledged INSERT, over every row.",
            "s",
            _quantiles("sequence_sink_visible_seconds", "table"),
        ),
        Chart(
            "Lag in seconds",
            "Age of the oldest record that a stage has not processed.",
            "s",
            {"{{topic}}": "max by (topic) (sequence_worker_lag_seconds)"},
        ),
        Chart(
            "Lag in records",
            "Records that a stage has not processed.",
            "short",
            {"{{topic}}": "sum by (topic) (sequence_worker_lag_records)"},
        ),
    ],
    "Gateways": [
        Chart(
            "Requests by status",
            "Senders repeat requests that were answered with 429 or with 500 and above.",
            "reqps",
            {"{{status}}": _rate("sequence_gateway_requests_total", "status")},
            stacked=True,
        ),
        Chart(
            "Request time",
            "From a request's headers to Kafka's acknowledgement.",
            "s",
            _quantiles("sequence_gateway_request_seconds", "job"),
        ),
        Chart(
            "Rejected items by code",
            "The table `rejected` has each item.",
            "cps",
            {"{{code}}": _rate("sequence_gateway_rejected_items_total", "code")},
            stacked=True,
        ),
        Chart(
            "Memory for requests",
            "Requests are refused at `SEQUENCE_GATEWAY_IN_FLIGHT_LIMIT_BYTES`.",
            "bytes",
            {"{{instance}}": "sequence_gateway_in_flight_bytes"},
        ),
    ],
    "Workers": [
        Chart(
            "Ready",
            "1 if a worker is ready. `/health/ready` has the reason otherwise.",
            "short",
            {"{{instance}}": "sequence_worker_ready"},
        ),
        Chart(
            "Batch time",
            "Time that a batch takes until its outputs are durable.",
            "s",
            _quantiles("sequence_worker_batch_seconds", "topic"),
        ),
        Chart(
            "Records in recovery",
            "Records of the changelog that a worker has still to read.",
            "short",
            {"{{instance}}": "sum by (instance) (sequence_worker_recovery_records)"},
        ),
        Chart(
            "Rejected records",
            "Records that a worker could not process.",
            "cps",
            {"{{stage}} {{code}}": _rate("sequence_worker_rejected_records_total", "stage, code") + " > 0"},
        ),
    ],
    "Sink": [
        Chart(
            "Rows", "Rows written to ClickHouse.", "cps", {"{{table}}": _rate("sequence_sink_insert_rows_sum", "table")}
        ),
        Chart("INSERT time", "Time of each INSERT.", "s", _quantiles("sequence_sink_insert_seconds", "table")),
        Chart(
            "INSERTs that failed",
            "By reason: the row, its size, the state of the table, or the server.",
            "cps",
            {"{{table}} {{reason}}": _rate("sequence_sink_insert_retries_total", "table, reason") + " > 0"},
        ),
        Chart(
            "Waits for ClickHouse",
            "1 while a stage waits.",
            "short",
            {"{{topic}}": "max by (topic) (sequence_sink_waiting)"},
        ),
    ],
    "Audit": [
        Chart(
            "Missing and unexpected",
            "Items of the last hour that do not add up. `sequence audit` has their source offsets.",
            "short",
            {
                "missing of {{topic}}": "max by (topic) (sequence_audit_missing_items)",
                "unexpected of {{topic}}": "max by (topic) (sequence_audit_unexpected_rows)",
            },
        ),
        Chart(
            "Last audit",
            "Age of the last complete audit, and how long it took.",
            "s",
            {
                "age {{instance}}": "time() - sequence_audit_completed_timestamp_seconds",
                "duration {{instance}}": "sequence_audit_duration_seconds",
            },
        ),
    ],
    "Processes": [
        Chart(
            "CPU", "Cores.", "short", {"{{instance}}": f'rate(process_cpu_seconds_total{{job=~"sequence.*"}}{_RATE})'}
        ),
        Chart(
            "Memory", "Resident memory.", "bytes", {"{{instance}}": 'process_resident_memory_bytes{job=~"sequence.*"}'}
        ),
        Chart(
            "Open files",
            "Share of the limit.",
            "percentunit",
            {"{{instance}}": f"process_open_fds{_OURS} / process_max_fds{_OURS}"},
        ),
        Chart(
            "Clock offset",
            "Clock of Kafka minus that of the process.",
            "s",
            {"{{instance}}": '{__name__=~"sequence_(gateway|worker)_broker_clock_offset_seconds"}'},
            minimum=None,
        ),
    ],
}


def expressions() -> Iterator[str]:
    """Yield the expression of every line."""
    for charts in CHARTS.values():
        for chart in charts:
            yield from chart.lines.values()


def content() -> str:
    """Return the dashboard as JSON."""
    made = (
        dashboard.Dashboard("Sequence events")
        .uid("sequence-events")
        .tags(["sequence"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .readonly()
        .with_variable(dashboard.DatasourceVariable("source").type("prometheus").label("Prometheus"))
    )
    for title, charts in CHARTS.items():
        made = made.with_row(dashboard.Row(title))
        for chart in charts:
            made = made.with_panel(_panel(chart))
    return JSONEncoder(sort_keys=True, indent=2).encode(made.build()) + "\n"


def _panel(chart: Chart) -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST)  # noqa: FBT003  # its only signature
    panel = (
        timeseries.Panel()
        .title(chart.title)
        .description(chart.about)
        .unit(chart.unit)
        .datasource(_SOURCE)
        .span(12)
        .height(8)
        .legend(legend.placement(LegendPlacement.BOTTOM))
        .tooltip(common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI))
    )
    if chart.minimum is not None:
        panel = panel.min(chart.minimum)
    if chart.stacked:
        panel = panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(30)
    for letter, (legend_format, expression) in zip(ascii_uppercase, chart.lines.items(), strict=False):
        query = prometheus.Dataquery().expr(expression).legend_format(legend_format).ref_id(letter)
        panel = panel.with_target(query.datasource(_SOURCE))
    return panel


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
