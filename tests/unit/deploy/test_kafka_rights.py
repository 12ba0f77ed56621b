"""The rights of each part, and the calls of `kafka-acls.sh` that grant them."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from deploy.kafka_rights import PARTS, PREFIX, Right, acl_arguments
from schemas.topics import Topics
from tests.support import rights_page

OPTION = re.compile(r"--(operation|topic|group|cluster)(?: (\S+))?")


def granted(part: str, prefix: str) -> set[tuple[str, str, str]]:
    """Return operation, kind and name of every ACL that the calls for *part* create."""
    found = set()
    for line in acl_arguments(part, prefix, "User:x"):
        options = OPTION.findall(line)
        operations = [value for name, value in options if name == "operation"]
        resources = [(name, value or "kafka-cluster") for name, value in options if name != "operation"]
        found |= {(operation, *resource) for operation in operations for resource in resources}
    return found


def rights(*arguments: str, **variables: str) -> Result:
    return CliRunner().invoke(main, ["topics", "rights", *arguments], env=variables)


@pytest.mark.parametrize("part", PARTS)
def test_calls_grant_the_rights_of_the_part_and_no_others(part: str) -> None:
    assert granted(part, "shop.x") == {
        (right.operation, right.kind, right.resource("shop.x")) for right in PARTS[part].rights
    }


@pytest.mark.parametrize("part", PARTS)
def test_right_is_on_a_topic_of_the_pipeline_and_listed_once(part: str) -> None:
    found = [right for right in PARTS[part].rights if right.kind == "topic"]

    assert {right.resource(PREFIX) for right in found} <= set(Topics(PREFIX).every)
    listed = [(right.operation, right.kind, right.name) for right in PARTS[part].rights]
    assert len(set(listed)) == len(listed)


def test_read_and_write_come_without_describe_which_they_include() -> None:
    for part in (PARTS[name] for name in PARTS if name != "topics"):
        used = {(right.kind, right.name) for right in part.rights if right.operation in {"Read", "Write"}}
        assert not used & {(right.kind, right.name) for right in part.rights if right.operation == "Describe"}


def test_command_prints_a_call_for_each_set_of_rights_of_each_part() -> None:
    result = rights(SEQUENCE_KAFKA_SERVERS="kafka:9093", SEQUENCE_TOPIC_PREFIX="shop")

    assert result.exit_code == 0
    lines = result.output.splitlines()
    call = "kafka-acls.sh --bootstrap-server kafka:9093 --command-config admin.properties --add --allow-principal"
    assert all(line.startswith((f"{call} User:", "# sequence ")) for line in lines)
    assert f"{call} User:gateway --operation Write --topic shop.items.v1 --topic shop.rejected.v1" in lines
    assert f"{call} User:gateway --operation Describe --cluster" in lines
    assert f"{call} User:dedupe --operation Read --group shop-dedupe" in lines
    assert {line.split("User:")[1].split()[0] for line in lines if "User:" in line} == PARTS.keys()


def test_principal_of_a_certificate_is_quoted_for_the_shell() -> None:
    result = rights("gateway", "--principal", "User:CN=gateway,O=A Shop")

    assert "--allow-principal 'User:CN=gateway,O=A Shop' --operation" in result.output


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["gateways"], "'gateways' is no part. Name one of topics, gateway, dedupe, "),
        (["--principal", "User:x"], "--principal needs one PART."),
        (["gateway", "sink", "--principal", "User:x"], "--principal needs one PART."),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], error: str) -> None:
    result = rights(*arguments)

    assert result.exit_code == 2
    assert error in result.output


def test_page_has_the_rights_of_the_code() -> None:
    text = rights_page.PAGE.read_text(encoding="utf-8")

    assert text == rights_page.written(text), f"run {rights_page.COMMAND}"
    assert all(f"| `{part}` | {PARTS[part].commands} |" in text for part in PARTS)


def test_control_page_differs_if_a_right_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    text = rights_page.PAGE.read_text(encoding="utf-8")
    part = PARTS["gateway"]
    added = type(part)(part.commands, (*part.rights, Right("Create", "topic", "items.v1")))
    monkeypatch.setitem(PARTS, "gateway", added)

    assert rights_page.written(text) != text
