"""Models of erasure and of field rules in the fault suite, and the points at which processes are killed."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import msgspec
import pytest

from deploy.operate import backup, backup_runs, erase, restore_tables
from processors.engine import failpoints
from tests.faults import erased_users
from tests.faults.field_rule_faults import CHANGES, FIELDS, PRIVATE, Phase, Value, is_private, on
from tests.faults.ledger import Cut
from tests.faults.points import install
from tests.support.records import SlimRecord


class Rejected(SlimRecord):
    """A record with its partition."""

    partition = 1


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the signals that this process would have been sent."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _, number: sent.append(number))
    return sent


def test_point_sends_its_signal_once_and_to_its_process_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: list[int]
) -> None:
    (tmp_path / "sink-noted").write_text("SIGKILL")
    (tmp_path / "persons-noted").write_text("SIGKILL")
    install(tmp_path, ["worker", "sink"], monkeypatch.setattr)
    failpoints.hit("listed")
    assert signals == []
    failpoints.hit("noted")
    failpoints.hit("noted")
    assert signals == [signal.SIGKILL]
    assert [file.name for file in tmp_path.iterdir()] == ["persons-noted"]


def test_command_has_a_point_before_and_after_it_tells_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signals: list[int]
) -> None:
    told: list[int] = []

    async def tell(*_: object) -> tuple[int, ...]:
        told.append(len(signals))
        return (1,)

    monkeypatch.setattr(erase, "_tell_persons", tell)
    for point in ("requested", "told"):
        (tmp_path / f"erase-{point}").write_text("SIGSTOP")
    install(tmp_path, ["erase", "--yes"], monkeypatch.setattr)
    assert asyncio.run(erase._tell_persons(None, "p", [], 0)) == (1,)  # type: ignore[arg-type]  # all that it uses
    assert (told, signals) == ([1], [signal.SIGSTOP] * 2)


@pytest.mark.parametrize(
    ("command", "owner", "name"),
    [
        ("backup", backup._Backup, "_read"),
        ("backup", backup_runs.Runs, "_state"),
        ("restore", backup_runs.Runs, "_state"),
        ("restore", restore_tables.Restorer, "_move"),
        ("restore", restore_tables.Restorer, "_drop_present"),
    ],
)
def test_command_stops_at_the_steps_of_its_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, owner: type, name: str
) -> None:
    original = getattr(owner, name)
    with monkeypatch.context() as patched:
        install(tmp_path, [command, "directory"], patched.setattr)
        assert getattr(owner, name) is not original


def test_erasure_covers_rejections_of_its_users_before_the_cut() -> None:
    cut = Cut((0, 0), (0, 3), 1)
    content = msgspec.json.encode({"content": '{"userId":"ann"}'})
    others = [msgspec.json.encode({"content": '{"userId":"bob"}'}), msgspec.json.encode({"code": "suppressed"})]
    records = [Rejected(offset, b"", content) for offset in (2, 3)] + [Rejected(1, b"", other) for other in others]
    assert erased_users.rejections(records, {"ann": cut}) == {(1, 2)}
    assert erased_users.rejections(records, {}) == set()


def test_value_is_private_if_every_rule_that_can_be_in_force_says_so() -> None:
    phases = [Phase(0, 0, frozenset()), Phase(1_000, 2_000, frozenset(FIELDS)), Phase(9_000, 9_500, frozenset({"ip"}))]

    def private(field: str, sent_ms: int) -> bool:
        return is_private(Value(field, sent_ms, 0), phases)

    assert not private("ip", 4_999)
    assert private("ip", 5_000)
    assert private("card", 8_999)
    assert not private("card", 9_000)
    assert private("ip", 9_000)


def test_private_values_are_found_unless_they_are_cut() -> None:
    value = "email~1767225600000~7"
    assert PRIVATE.search(f'{{"email":"{value}"}}')
    assert not PRIVATE.search(value[:6])
    kept = [int(word.partition("=")[2]) for options, _ in CHANGES for word in options if "=" in word]
    assert max(kept) <= 6
    assert on("--truncate", "a", of="=1") == ["--truncate", "properties.a=1", "--truncate", "traits.a=1"]
