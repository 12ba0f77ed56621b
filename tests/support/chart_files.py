"""What the chart has of other files: `python -m tests.support.chart_files` writes it after a change of these.

The alerting rules and the dashboard, because Helm reads no file outside the chart; the names that the value `settings`
takes, of the declared settings; the topics for Strimzi, of their declaration; and the table of values in
docs/kubernetes.md, of the comments in values.yaml.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from deploy.known_settings import AllSettings
from schemas.settings import DedupeSettings, TopicSettings, declarations
from schemas.topics import Topic, Topics
from tests.support import chart_values
from tests.support.documents import ROOT

CHART = ROOT / "deploy" / "chart"
GRAFANA = ROOT / "deploy" / "grafana"
COPIED = ("alerts.yml", "dashboard.json")
TOPICS = CHART / "examples" / "strimzi-topics.yaml"
SCHEMA = CHART / "values.schema.json"
OF_ONE_MACHINE = {
    "SEQUENCE_STATE_DIR",
    "SEQUENCE_CACHE_DIR",
    "SEQUENCE_MAVEN_REPOSITORY",
    "SEQUENCE_GATEWAY_REUSE_PORT",
}
"""Settings that are of no use in a pod, beside SEQUENCE_LOCAL_*."""
BOUND = {"SEQUENCE_GATEWAY_START_TIMEOUT_SECONDS"}
"""Settings whose default the chart relies on: the startup probe of a gateway waits longer."""
UPDATE = "Run python -m tests.support.chart_files"

_HEAD = """\
# The topics of the values of production.yaml, for those who manage topics with Strimzi's Topic Operator.
#
# The Job of the chart creates missing topics itself: without this file, Strimzi leaves them alone. With it, the Job
# finds nothing to change. A test compares it with the declaration of the topics.

"""


def set_by_the_chart() -> set[str]:
    """Return the variables that the templates set themselves."""
    files = [*(CHART / "templates").glob("*.yaml"), *(CHART / "templates").glob("*.tpl")]
    return {name for file in files for name in re.findall(r"name: (SEQUENCE_\w+)", file.read_text())}


def names_of_settings() -> list[str]:
    """Return the variables that the value `settings` takes: no secrets, and none that the chart sets itself."""
    refused = {name.removesuffix("_FILE") if "PASSWORD" in name else name for name in set_by_the_chart()}
    refused |= OF_ONE_MACHINE | BOUND
    return sorted(
        {
            declared.variable
            for declared in declarations(AllSettings)
            if not declared.secret and not declared.variable.startswith("SEQUENCE_LOCAL_")
        }
        - refused
    )


def strimzi_topics(prefix: str, settings: TopicSettings) -> str:
    """Return the topics of *prefix* as resources of Strimzi."""
    declared = Topics(prefix).declare(
        partitions=settings.partitions,
        items_retention_days=settings.items_retention_days,
        dedupe_window_days=settings.dedupe.window_days,
    )
    return _HEAD + "---\n".join("\n".join(_lines(topic, settings)) + "\n" for topic in declared)


def _lines(topic: Topic, settings: TopicSettings) -> Iterator[str]:
    yield "apiVersion: kafka.strimzi.io/v1"
    yield "kind: KafkaTopic"
    yield "metadata:"
    yield f"  name: {topic.name}"
    yield "  labels: {strimzi.io/cluster: kafka}"
    yield "spec:"
    yield f"  partitions: {topic.partitions}"
    yield f"  replicas: {settings.replication_factor}"
    yield "  config:"
    for name, value in sorted({**topic.config, "min.insync.replicas": str(settings.min_insync_replicas)}.items()):
        yield f"    {name}: {value}"


def production() -> TopicSettings:
    """Return the topics of the values of production.yaml and the defaults of the chart."""
    values = (CHART / "values.yaml").read_text() + (CHART / "examples" / "production.yaml").read_text()

    def number(name: str) -> int:
        found = re.findall(rf'^ +{name}: "?(\d+)"?$', values, re.MULTILINE)
        return int(found[-1])

    return TopicSettings(
        partitions=number("partitions"),
        replication_factor=number("replicationFactor"),
        min_insync_replicas=number("minInsyncReplicas"),
        dedupe=DedupeSettings(number("SEQUENCE_DEDUPE_WINDOW_DAYS")),
    )


def write() -> None:
    """Write every file that has something of another."""
    for name in COPIED:
        (CHART / "files" / name).write_bytes((GRAFANA / name).read_bytes())
    schema = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"]["propertyNames"]["enum"] = names_of_settings()
    SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")
    TOPICS.write_text(strimzi_topics("sequence", production()))
    chart_values.write()


if __name__ == "__main__":
    write()
