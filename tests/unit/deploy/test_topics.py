"""Topics on managed clusters: what is good enough is taken, and each message names the setting."""

from __future__ import annotations

import pytest

from deploy import topics
from deploy.errors import TopicsError
from deploy.topic_rules import RULES, is_enough
from schemas.settings import KafkaSettings, TopicSettings
from schemas.topics import DAY_MS, Topic, Topics
from tests.fakes.topic_admin import MemoryTopicAdmin

NAMES = Topics()
DECLARED = topics.declared(KafkaSettings(), TopicSettings(min_insync_replicas=2, replication_factor=3))


@pytest.fixture
def admin() -> MemoryTopicAdmin:
    return MemoryTopicAdmin()


async def apply(admin: MemoryTopicAdmin, declared: list[Topic] = DECLARED) -> list[str]:
    return await topics.apply_to(admin, declared, 3)


def own(admin: MemoryTopicAdmin, topic: str) -> dict[str, str]:
    return admin.topics[topic][1]


def made_by_an_administrator(admin: MemoryTopicAdmin, **settings: str) -> None:
    """Create every topic as the pipeline needs it, with more of what may be more, and *settings* of `items.v1`."""
    for topic in DECLARED:
        retention = {"retention.ms": "-1"} if "retention.ms" in topic.config else {}
        admin.topics[topic.name] = (topic.partitions, topic.config | retention)
    own(admin, NAMES.items).update({name.replace("_", "."): value for name, value in settings.items()})


async def test_cluster_without_limits_gets_every_setting(
    admin: MemoryTopicAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    assert await apply(admin) == [topic.name for topic in DECLARED]

    assert {name: settings for name, (_, settings) in admin.topics.items()} == {
        topic.name: topic.config for topic in DECLARED
    }
    assert await apply(admin) == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("setting", "topic", "kept"),
    [
        ("min.cleanable.dirty.ratio", NAMES.persons, "0.5 instead of 0.1: compaction runs less often"),
        ("max.message.bytes", NAMES.rejected, "1048588 instead of 4194304: a larger rejected item cannot be stored"),
    ],
)
async def test_refused_tuning_setting_is_named_and_the_others_are_set(
    admin: MemoryTopicAdmin, caplog: pytest.LogCaptureFixture, setting: str, topic: str, kept: str
) -> None:
    admin.not_allowed = {setting}

    assert set(await apply(admin)) == {topic.name for topic in DECLARED}

    for each in DECLARED:
        expected = {name: value for name, value in each.config.items() if name != setting}
        assert await admin.settings([each]) == {each.name: admin.defaults | expected}
    (line,) = [line for line in caplog.messages if line.startswith(topic)]
    assert f"{topic} keeps {setting}={kept}" in line
    assert line.endswith(f"Kafka refuses the change: Config property '{setting}' is not allowed")


async def test_value_that_is_accepted_and_not_stored_is_named(
    admin: MemoryTopicAdmin, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "_STORED_TIMEOUT_SECONDS", 0.1)
    await apply(admin)
    for name in (NAMES.persons, NAMES.projects):
        del own(admin, name)["min.cleanable.dirty.ratio"]
    admin.kept = {"min.cleanable.dirty.ratio"}

    assert await apply(admin) == []

    assert len(caplog.messages) == 2
    assert all(line.endswith("Kafka accepted the change and did not store it") for line in caplog.messages)


async def test_refused_required_setting_is_an_error_that_names_it(admin: MemoryTopicAdmin) -> None:
    admin.not_allowed = {"message.timestamp.type"}

    with pytest.raises(TopicsError, match=r"Cannot create sequence\.items\.v1 .*'message\.timestamp\.type' is not"):
        await apply(admin)


async def test_other_replication_factor_is_refused_with_its_setting(admin: MemoryTopicAdmin) -> None:
    admin.replication_factor = 5

    with pytest.raises(TopicsError, match=r"SEQUENCE_REPLICATION_FACTOR=3: Topic replication factor must be 5\."):
        await apply(admin)


async def test_topics_of_an_administrator_are_taken(admin: MemoryTopicAdmin, caplog: pytest.LogCaptureFixture) -> None:
    made_by_an_administrator(admin, min_insync_replicas="3", segment_bytes="1048576")
    admin.denied = {"CREATE", "ALTER_CONFIGS"}

    assert await apply(admin) == []

    assert own(admin, NAMES.items)["min.insync.replicas"] == "3"
    assert all("retention.ms=-1" in line and "records are kept longer" in line for line in caplog.messages)


async def test_more_replicas_in_sync_are_not_lowered(admin: MemoryTopicAdmin) -> None:
    await apply(admin)
    own(admin, NAMES.items)["min.insync.replicas"] = "3"

    assert await apply(admin) == []

    assert own(admin, NAMES.items)["min.insync.replicas"] == "3"


async def test_retention_follows_its_setting_in_both_directions(admin: MemoryTopicAdmin) -> None:
    await apply(admin)
    for days in (30, 7):
        declared = topics.declared(KafkaSettings(), TopicSettings(items_retention_days=days, min_insync_replicas=2))

        assert NAMES.items in await apply(admin, declared)

        assert own(admin, NAMES.items)["retention.ms"] == str(days * DAY_MS)


async def test_fewer_replicas_in_sync_are_an_error(admin: MemoryTopicAdmin) -> None:
    made_by_an_administrator(admin, min_insync_replicas="1")
    admin.denied = {"ALTER_CONFIGS"}

    with pytest.raises(TopicsError, match=r"items\.v1 .*min\.insync\.replicas=1 .*on fewer replicas than configured"):
        await apply(admin)


@pytest.mark.parametrize("refusal", ["policy", "permission", "not stored"])
async def test_shorter_retention_that_cannot_be_changed_is_an_error(
    admin: MemoryTopicAdmin, monkeypatch: pytest.MonkeyPatch, refusal: str
) -> None:
    monkeypatch.setattr(topics, "_STORED_TIMEOUT_SECONDS", 0.1)
    made_by_an_administrator(admin, retention_ms="3600000")
    admin.not_allowed = {"retention.ms"} if refusal == "policy" else set()
    admin.denied = {"ALTER_CONFIGS"} if refusal == "permission" else set()
    admin.kept = {"retention.ms"} if refusal == "not stored" else set()

    with pytest.raises(TopicsError, match=r"items\.v1 has retention\.ms=3600000 but the pipeline needs 604800000: rec"):
        await apply(admin)


@pytest.mark.parametrize(
    ("topic", "setting", "value"),
    [
        (NAMES.items, "cleanup.policy", "compact"),
        (NAMES.events, "cleanup.policy", "compact,delete"),
        (NAMES.persons, "cleanup.policy", "compact, delete"),
        (NAMES.projects, "cleanup.policy", "delete"),
    ],
)
async def test_setting_that_changes_the_meaning_of_records_is_an_error(
    admin: MemoryTopicAdmin, topic: str, setting: str, value: str
) -> None:
    made_by_an_administrator(admin)
    own(admin, topic)[setting] = value

    with pytest.raises(TopicsError, match=f"{topic} has {setting}={value} but the pipeline needs"):
        await apply(admin)

    assert own(admin, topic)[setting] == value


async def test_topic_with_times_of_producers_is_changed_to_times_of_the_broker(admin: MemoryTopicAdmin) -> None:
    made_by_an_administrator(admin)
    for topic in DECLARED:
        own(admin, topic.name)["message.timestamp.type"] = "CreateTime"

    assert {topic.name for topic in DECLARED} <= set(await apply(admin))

    assert {own(admin, topic.name)["message.timestamp.type"] for topic in DECLARED} == {"LogAppendTime"}


@pytest.mark.parametrize("refusal", ["policy", "permission"])
async def test_times_of_producers_that_cannot_be_changed_are_an_error(admin: MemoryTopicAdmin, refusal: str) -> None:
    made_by_an_administrator(admin)
    own(admin, NAMES.projects)["message.timestamp.type"] = "CreateTime"
    admin.not_allowed = {"message.timestamp.type"} if refusal == "policy" else set()
    admin.denied = {"ALTER_CONFIGS"} if refusal == "permission" else set()

    with pytest.raises(
        TopicsError, match=r"projects\.v1 has message\.timestamp\.type=CreateTime but the pipeline needs LogAppendTime"
    ):
        await apply(admin)


async def test_hidden_settings_are_one_line_that_says_what_was_not_checked(
    admin: MemoryTopicAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    made_by_an_administrator(admin)
    admin.denied = {"DESCRIBE_CONFIGS"}

    assert await apply(admin) == []

    (line,) = caplog.messages
    assert "7 topics were not checked: Kafka denies DESCRIBE_CONFIGS" in line
    assert (
        "sequence.items.v1: message.timestamp.type=LogAppendTime, cleanup.policy=delete, retention.ms>=604800000, "
        "min.insync.replicas>=2;" in line
    )


async def test_missing_permission_to_create_says_what_an_administrator_creates(admin: MemoryTopicAdmin) -> None:
    admin.denied = {"CREATE"}

    with pytest.raises(TopicsError) as raised:
        await apply(admin)

    lines = str(raised.value).splitlines()
    assert len(lines) == len(DECLARED)
    assert lines[-1] == (
        "Cannot create sequence.projects.v1: Kafka denies CREATE on it to this user. Grant CREATE, or let an "
        "administrator create it with 1 partition and message.timestamp.type=LogAppendTime, cleanup.policy=compact, "
        "min.insync.replicas>=2."
    )


def test_every_declared_setting_has_a_rule() -> None:
    assert {name for topic in DECLARED for name in topic.config} == RULES.keys()


@pytest.mark.parametrize(
    ("name", "declared", "current", "enough"),
    [
        ("retention.ms", "10", "-1", True),
        ("retention.ms", "-1", "10", False),
        ("retention.ms", "10", "10", True),
        ("retention.ms", "10", "9", False),
        ("retention.ms", "10", None, False),
        ("min.cleanable.dirty.ratio", "0.1", "0.05", True),
        ("min.cleanable.dirty.ratio", "0.1", "0.2", False),
        ("min.insync.replicas", "2", "3", True),
        ("cleanup.policy", "compact", "compact,delete", False),
        ("cleanup.policy", "compact", "compact", True),
    ],
)
def test_value_is_enough(name: str, declared: str, current: str | None, *, enough: bool) -> None:
    assert is_enough(name, declared, current) is enough


@pytest.mark.parametrize(("current", "enough"), [("-1", True), ("1000000000", False), (None, False)])
def test_any_limit_of_bytes_is_not_enough(current: str | None, enough: bool) -> None:  # noqa: FBT001
    """Kafka would delete records that nobody has read."""
    assert is_enough("retention.bytes", "-1", current) == enough


async def test_limit_of_bytes_is_removed_from_every_topic_that_deletes_records(admin: MemoryTopicAdmin) -> None:
    admin.defaults["retention.bytes"] = "1000"

    await apply(admin)
    for topic in DECLARED:
        own(admin, topic.name)["retention.bytes"] = "1000"

    assert set(await apply(admin)) == {topic.name for topic in DECLARED if "retention.ms" in topic.config}
    assert own(admin, NAMES.items)["retention.bytes"] == "-1"


async def test_limit_of_bytes_that_may_not_be_removed_is_a_warning(
    admin: MemoryTopicAdmin, caplog: pytest.LogCaptureFixture
) -> None:
    made_by_an_administrator(admin, retention_bytes="1000")
    admin.denied = {"ALTER_CONFIGS"}

    assert await apply(admin) == []

    (line,) = [line for line in caplog.messages if "retention.bytes" in line]
    assert "keeps retention.bytes=1000 instead of -1: Kafka deletes records at this size" in line
