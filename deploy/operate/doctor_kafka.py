"""Checks of Kafka: settings of the topics, replicas, retention against lag, and clocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any

from deploy import topic_rules
from deploy.operate.doctor_result import Check
from deploy.operate.finding import Finding
from deploy.operate.kafka_reader import KafkaReader
from deploy.operate.lag import StageLag
from deploy.operate.status_result import span
from deploy.topic_admin import Refusal
from deploy.topic_rules import Config
from schemas.records import InvalidRecordError, decode_item
from schemas.times import parse_time
from schemas.topics import Topic, Topics

NEARLY_EXPIRED, SOON_EXPIRED = 0.8, 0.5
"""Shares of the retention."""
AHEAD_SECONDS, BEHIND_SECONDS = 2.0, 60.0
"""Differences of clocks that are reported: a time before its cause, and a delay that no gateway waits."""
_DAY_SECONDS = 86_400
_RECORDS_SECONDS = 2.0

Described = Mapping[str, Sequence[Mapping[str, Any]]]


def topics(declared: Sequence[Topic], described: Described, settings: Mapping[str, Config | Refusal]) -> Check:
    """Return the check of the topics: partitions, replicas and settings as `sequence topics apply` wants them."""
    findings = [*_partition_counts(declared, described)]
    findings += [finding for topic in declared for finding in _topic(topic, described, settings.get(topic.name))]
    hidden = [name for name, answer in settings.items() if isinstance(answer, Refusal)]
    about = f"{len(declared)} topics"
    if hidden:
        about += f"; Kafka hides the settings of {len(hidden)}"
    return Check(name="topics", about=about, findings=findings)


def _partition_counts(declared: Sequence[Topic], described: Described) -> Iterator[Finding]:
    wrong: dict[tuple[int, int], list[str]] = {}
    for topic in declared:
        if topic.name in described and len(described[topic.name]) != topic.partitions:
            wrong.setdefault((len(described[topic.name]), topic.partitions), []).append(topic.name)
    for (count, wanted), names in wrong.items():
        yield Finding(
            level="error",
            check="topics",
            what=f"Topics with {count} partitions in place of {wanted} (SEQUENCE_PARTITIONS): {', '.join(names)}.",
            why="Keys move to partitions that have no dedupe entries for them. Gateways and workers refuse to start.",
            remedy="Set SEQUENCE_PARTITIONS to the number with which the topics were created.",
        )


def _topic(topic: Topic, described: Described, current: Config | Refusal | None) -> Iterator[Finding]:
    partitions = described.get(topic.name)
    if partitions is None:
        return  # The status names it.
    yield from _replicas(topic.name, partitions)
    if current is None or isinstance(current, Refusal):
        return
    for name, value in topic_rules.to_change(topic, current).items():
        rule, enough = topic_rules.RULES[name], topic_rules.is_enough(name, value, current.get(name))
        yield Finding(
            level="error" if rule.is_required and not enough else "warning",
            check="topics",
            what=f"{topic.name} has {name}={current.get(name)}, declared is {value}.",
            why=f"{'Records are kept longer' if enough else rule.meaning[:1].upper() + rule.meaning[1:]}.",
            remedy="Run `sequence topics apply`, with the settings that the workers have.",
        )
    for error in topic_rules.fixed_errors(topic, current):
        what, _, remedy = error.partition(". ")
        yield Finding(level="error", check="topics", what=f"{what}.", why="It cannot be changed.", remedy=remedy)


def _replicas(name: str, partitions: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    without = [each["partition"] for each in partitions if each["leader"] < 0]
    lacking = [each["partition"] for each in partitions if len(each["isr"]) < len(each["replicas"])]
    for numbers, level, what in ((without, "error", "no leader"), (lacking, "warning", "fewer in-sync replicas")):
        if numbers:
            yield Finding(
                level="error" if level == "error" else "warning",
                check="replicas",
                what=f"{name} has {what} in the partitions {', '.join(map(str, sorted(numbers)))}.",
                why="Items of a partition without a leader are not accepted; the loss of another broker may be one.",
                remedy="Start the brokers that are missing.",
            )


def retention(stages: Iterable[StageLag], settings: Mapping[str, Config | Refusal], now: float) -> Check:
    """Return the check of what waits: whether it is processed before the topic deletes it."""
    findings: list[Finding] = []
    shares = {}
    for stage in stages:
        findings += _expired(stage)
        for topic in dict.fromkeys(topic for topic, _ in stage.inputs):
            seconds, kept = stage.seconds(now, topic), _kept_seconds(settings.get(topic))
            if seconds is None or kept is None:
                continue
            shares[topic] = seconds / kept
            findings += _expiring(stage.name, topic, seconds, kept)
    highest = max(shares.values(), default=0.0)
    return Check(
        name="retention", about=f"the oldest record that waits has {highest:.0%} of its time", findings=findings
    )


def _expired(stage: StageLag) -> Iterator[Finding]:
    for (topic, partition), each in stage.inputs.items():
        if each.committed is not None and each.committed < each.log_start:
            yield Finding(
                level="error",
                check="retention",
                what=f"{topic}, partition {partition}: offsets {each.committed} to {each.log_start - 1} were deleted "
                f"before {stage.name} had read them.",
                why="They are lost for this stage. Its worker exits with code 78.",
                remedy=f"Run `sequence positions accept --stage {stage.name} --partition {partition}` to continue.",
            )


def _expiring(stage: str, topic: str, seconds: float, kept: float) -> Iterator[Finding]:
    if seconds > SOON_EXPIRED * kept:
        yield Finding(
            level="error" if seconds > NEARLY_EXPIRED * kept else "warning",
            check="retention",
            what=f"{topic} deletes records after {span(kept)}; the oldest that {stage} has not read is {span(seconds)} "
            "old.",
            why="What is deleted unread is lost for this stage.",
            remedy="Start the worker, or raise SEQUENCE_ITEMS_RETENTION_DAYS and run `sequence topics apply`.",
        )


def _kept_seconds(config: Config | Refusal | None) -> float | None:
    if config is None or isinstance(config, Refusal) or config.get("cleanup.policy") == "compact":
        return None
    kept_ms = float(config.get("retention.ms") or -1)
    return kept_ms / 1000 if kept_ms > 0 else None


async def newest_items(reader: KafkaReader, names: Topics, described: Described) -> list[Any]:
    """Return the newest record of each partition of `items.v1`."""
    keys = [(names.items, number) for number in range(len(described.get(names.items, ())))]
    bounds = await reader.bounds(keys)
    newest = {key: end - 1 for key, (start, end) in bounds.items() if end > start}
    return list((await reader.first_records(newest, monotonic() + _RECORDS_SECONDS)).values())


def clocks(
    items: Sequence[Any], clickhouse_ahead: float | None, gateways_ahead: Mapping[str, float], now: float
) -> Check:
    """Return the check of clocks: broker and gateway by the newest items, and each server against this machine.

    *items* are records of `items.v1`, *clickhouse_ahead* is how many seconds ClickHouse's clock is ahead of *now*, and
    *gateways_ahead* the same of each gateway, to a second.
    """
    findings: list[Finding] = []
    about = []
    delays = [
        (record.timestamp / 1000, record.timestamp / 1000 - received)
        for record in items
        if (received := _received(record)) is not None
    ]
    recent = [delay for stored, delay in delays if now - stored < _DAY_SECONDS]
    if recent:
        about.append(f"broker and gateways differ by less than {max(0.1, abs(min(recent))):.1f} s")
        findings += _difference("the broker", "a gateway", min(recent))
    ahead = max((record.timestamp / 1000 - now for record in items), default=0.0)
    if ahead > AHEAD_SECONDS:
        findings += _difference("the broker", "this machine", ahead)
    for url, seconds in gateways_ahead.items():
        if abs(seconds) > AHEAD_SECONDS:
            findings += _difference(f"the gateway {url}", "this machine", seconds)
    if clickhouse_ahead is not None:
        about.append(f"ClickHouse is {clickhouse_ahead:+.1f} s from this machine")
        if abs(clickhouse_ahead) > AHEAD_SECONDS:
            findings += _difference("ClickHouse", "this machine", clickhouse_ahead)
    return Check(name="clocks", about=", ".join(about) or "no items to compare", findings=findings)


def _difference(one: str, other: str, ahead: float) -> Iterator[Finding]:
    if -AHEAD_SECONDS <= ahead <= (AHEAD_SECONDS if other == "this machine" else BEHIND_SECONDS):
        return
    side = "ahead of" if ahead > 0 else "behind"
    yield Finding(
        level="error" if abs(ahead) > 3600 else "warning",
        check="clocks",
        what=f"The clock of {one} is {span(abs(ahead))} {side} that of {other}.",
        why="Times in rows and lag are wrong by as much; beyond an hour the dedupe window moves by the other clock.",
        remedy="Synchronise the clocks with NTP: `timedatectl` shows whether a machine does.",
    )


def _received(record: Any) -> float | None:
    try:
        return parse_time(decode_item(record.value).received_at) / 1e6
    except (InvalidRecordError, ValueError):
        return None
