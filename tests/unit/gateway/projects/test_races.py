"""Every pair of commands on projects and tokens, with their reads and writes in every order.

The commands run as they do in `sequence`, on a topic in memory whose compaction may have reached any record. The
control runs the same pairs with commands that write an entry as they read it.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import pytest

from gateway.errors import ProjectExistsError, TokenExistsError
from gateway.projects import changes
from gateway.projects.admin import ProjectsTopic, perform
from schemas.field_rules import FieldRule
from schemas.project_table import ProjectTable
from schemas.projects import Project, ProjectCreation, Token, describe_token, digest, encode_entry
from schemas.records import KeyValue
from tests.fakes.projects_topic import MemoryProjectsTopic, SteppedTopic, result_or_error
from tests.unit.gateway.projects import whole_entries

OLD, SECRET = "seq_dev_old-0123456789", "an-old-write-key"
OLD_DIGEST = digest(OLD)
OLD_ID = OLD_DIGEST[:16]
MICROS = 1_000_000

Command = Callable[[ProjectsTopic], Awaitable[object]]


def create(name: str) -> Command:
    return lambda topic: perform(topic, lambda table, now: changes.create_project(table, now, "shop", name))


def update(**fields: float | None) -> Command:
    return lambda topic: perform(topic, lambda table, _: changes.update_project(table, "dev", **fields))  # type: ignore[arg-type]  # `disabled` is a bool


def make_token(project: str, secret: str | None) -> Command:
    return lambda topic: perform(
        topic,
        lambda table, now: changes.create_token(table, now, project, token=secret, expires_at=None, scope="write"),
    )


def rotate(overlap_seconds: int) -> Command:
    return lambda topic: perform(
        topic, lambda table, now: changes.rotate_token(table, now, OLD_ID, overlap_seconds=overlap_seconds)
    )


def set_rules(*rules: FieldRule, removed: Sequence[str] = ()) -> Command:
    return lambda topic: perform(topic, lambda table, _: changes.change_field_rules(table, "dev", rules, removed))


COMMANDS: dict[str, Command] = {
    "create": create("First"),
    "create again": create("Second"),
    "disable": update(disabled=True),
    "enable": update(disabled=False),
    "limit": update(items_per_second=5),
    "burst": update(burst=50),
    "limit and burst": update(items_per_second=9, burst=90),
    "hash": set_rules(FieldRule("traits.email", "hash")),
    "hash and drop": set_rules(FieldRule("traits.email", "hash"), FieldRule("context.ip", "drop")),
    "create token": make_token("dev", None),
    "register": make_token("dev", SECRET),
    "register elsewhere": make_token("blog", SECRET),
    "revoke": lambda topic: perform(topic, lambda table, now: changes.revoke_token(table, now, OLD_ID)),
    "rotate": rotate(3600),
    "rotate soon": rotate(60),
}
WHOLE_ENTRIES: dict[str, Command] = {
    "create": lambda topic: whole_entries.create(topic, "First"),
    "create again": lambda topic: whole_entries.create(topic, "Second"),
    "disable": lambda topic: whole_entries.update(topic, disabled=True),
    "limit": lambda topic: whole_entries.update(topic, items_per_second=5),
    "burst": lambda topic: whole_entries.update(topic, burst=50),
    "register": lambda topic: whole_entries.register(topic, SECRET, "dev"),
    "register elsewhere": lambda topic: whole_entries.register(topic, SECRET, "blog"),
    "revoke": lambda topic: whole_entries.revoke(topic, OLD_DIGEST),
    "rotate": lambda topic: whole_entries.rotate(topic, OLD_DIGEST, 3600 * MICROS),
    "rotate soon": lambda topic: whole_entries.rotate(topic, OLD_DIGEST, 60 * MICROS),
}
PAIRS = list(itertools.combinations_with_replacement(COMMANDS, 2))
ORDERS = sorted(set(itertools.permutations("AAABBB")))
"""Orders of the steps of two commands: each reads, writes and reads again at most, or reads and writes twice."""


@dataclass(frozen=True)
class Outcome:
    tables: list[ProjectTable]
    """Of a gateway that followed the topic, and of those that started after a compaction."""
    results: Mapping[str, object]
    """By the name of the command; the second of two equal commands has the suffix `'`."""
    failures: Mapping[str, Exception]

    @property
    def names(self) -> set[str]:
        return {name.rstrip("'") for name in self.results}


def initial() -> list[KeyValue]:
    return [
        encode_entry(ProjectCreation("dev", "Development", 0), "dev", "0"),
        encode_entry(ProjectCreation("blog", "Blog", 0), "blog", "0"),
        encode_entry(describe_token(OLD, "dev", created_at=0), OLD_DIGEST, "0"),
    ]


def initial_whole_entries() -> list[KeyValue]:
    projects = [whole_entries.project_record(Project(each, each, 0)) for each in ("dev", "blog")]
    return [*projects, whole_entries.token_record(OLD_DIGEST, Token(OLD_ID, "dev", "", 0))]


@cache
def outcomes(first: str, second: str, *, control: bool = False) -> list[Outcome]:
    """Return the outcome of the two commands for every order of their steps."""
    return asyncio.run(_outcomes(first, second, control=control))


async def _outcomes(first: str, second: str, *, control: bool) -> list[Outcome]:
    commands = WHOLE_ENTRIES if control else COMMANDS
    names = {"A": first, "B": second if second != first else f"{second}'"}
    found = []
    for order in ORDERS:
        topic = MemoryProjectsTopic(whole_entries.WholeEntries if control else ProjectTable)
        topic.records = initial_whole_entries() if control else initial()
        views = {each: SteppedTopic(topic) for each in names}
        running = {
            each: asyncio.ensure_future(result_or_error(commands[name.rstrip("'")](views[each])))
            for each, name in names.items()
        }
        for each in order:
            await views[each].step(running[each])
        ended = {name: await running[each] for each, name in names.items()}
        failures = {name: result for name, result in ended.items() if isinstance(result, Exception)}
        results = {name: result for name, result in ended.items() if name not in failures}
        found.append(Outcome(topic.tables(), results, failures))
    return found


def violations(outcome: Outcome) -> set[str]:
    """Return what is undone of the commands that have succeeded."""
    table, done = outcome.tables[0], outcome.names
    dev, old = table.projects["dev"], table.tokens[OLD_DIGEST]
    successors = [digest(str(secret)) for name, secret in outcome.results.items() if name.startswith("rotate")]
    created = {"create": "First", "create again": "Second"}
    registered = {"register": "dev", "register elsewhere": "blog"}
    checks = {
        "revocation": "revoke" in done and old.revoked_at is None,
        "disabling": done & {"disable", "enable"} == {"disable"} and not dev.disabled,
        "rate": bool(done & {"limit", "limit and burst"}) and dev.items_per_second is None,
        "burst": bool(done & {"burst", "limit and burst"}) and dev.burst is None,
        "field rules": bool(done & {"hash", "hash and drop"}) and len(dev.field_rules) != 1 + ("hash and drop" in done),
        "rotation": bool(successors) and (old.expires_at is None or not table.tokens.keys() >= set(successors)),
        "earlier expiry": "rotate soon" in done and not _ends_first(old, [table.tokens[each] for each in successors]),
        "project": any(table.projects["shop"].name != created[name] for name in done & created.keys()),
        "token": any(table.tokens[digest(SECRET)].project_id != registered[name] for name in done & registered.keys()),
    }
    return {undone for undone, found in checks.items() if found}


def _ends_first(old: Token, successors: list[Token]) -> bool:
    """Return whether *old* ends at the end of the rotation with an overlap of 60 s."""
    return old.expires_at is not None and old.expires_at <= max(each.created_at for each in successors) + 60 * MICROS


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_no_command_undoes_another_in_any_order(first: str, second: str) -> None:
    found = outcomes(first, second)

    assert {undone for outcome in found for undone in violations(outcome)} == set()


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_gateway_that_starts_after_compaction_equals_one_that_followed(first: str, second: str) -> None:
    for outcome in outcomes(first, second):
        followed, *started_later = [(table.projects, table.tokens) for table in outcome.tables]

        assert started_later == [followed] * len(started_later)


@pytest.mark.parametrize(
    ("first", "second", "error"),
    [
        ("create", "create again", ProjectExistsError),
        ("create", "create", ProjectExistsError),
        ("register", "register elsewhere", TokenExistsError),
        ("register", "register", TokenExistsError),
    ],
)
def test_exactly_one_of_two_equal_creations_succeeds(first: str, second: str, error: type[Exception]) -> None:
    for outcome in outcomes(first, second):
        assert [type(failure) for failure in outcome.failures.values()] == [error]
        assert len(outcome.results) == 1


@pytest.mark.parametrize(("first", "second"), [("rotate", "rotate soon"), ("rotate", "rotate"), ("rotate", "revoke")])
def test_concurrent_rotations_have_successors_without_end(first: str, second: str) -> None:
    for outcome in outcomes(first, second):
        for name, secret in outcome.results.items():
            if name.startswith("rotate"):
                successor = outcome.tables[0].tokens[digest(str(secret))]
                assert (successor.expires_at, successor.revoked_at) == (None, None)


@pytest.mark.parametrize(
    ("first", "second", "undone"),
    [
        ("revoke", "rotate", "revocation"),
        ("disable", "limit", "disabling"),
        ("disable", "limit", "rate"),
        ("limit", "burst", "burst"),
        ("rotate", "rotate soon", "earlier expiry"),
        ("create", "create again", "project"),
        ("register", "register elsewhere", "token"),
    ],
)
def test_commands_that_write_what_they_read_undo_each_other(first: str, second: str, undone: str) -> None:
    found = outcomes(first, second, control=True)

    assert undone in {each for outcome in found for each in violations(outcome)}
