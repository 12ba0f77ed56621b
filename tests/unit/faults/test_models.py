"""Models of the fault suite: deleted rows, items with many names, several faults in one stack."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tests.faults.checkpoints import in_turn
from tests.faults.ledger import KINDS, Ledger
from tests.faults.row_deletions import Model


def test_restoring_a_copy_undoes_later_deletions_in_the_model() -> None:
    ledger = Ledger()
    ledger.deleted.add((0, 1))
    model = Model.of(ledger)
    ledger.deleted.add((0, 2))
    ledger.maybe_deleted.add((0, 3))
    model.restore(ledger)
    assert (ledger.deleted, ledger.maybe_deleted) == ({(0, 1)}, set())


def test_items_have_as_many_names_as_asked_and_few_each() -> None:
    ledger = Ledger(names=3_000, identify_share=0, repeat_share=0)
    tracks = [item["properties"] for _ in range(30) for item in ledger.batch()]
    assert len({name for properties in tracks for name in properties if name.startswith("name_")}) == 3_000
    assert max(map(len, tracks)) < 25
    assert len({entry.contents[0]["event"] for entry in ledger.entries.values()}) == KINDS


def test_items_have_the_same_few_names_by_default() -> None:
    tracks = [item["properties"] for item in Ledger(identify_share=0).batch() if "changed" not in item["properties"]]
    assert {name for properties in tracks for name in properties} == {"number", "price", "nested"}


def test_fault_that_fails_is_a_violation_and_the_next_one_is_injected() -> None:
    def failing(trial: Any) -> None:
        raise RuntimeError(f"failed, {len(trial.notes)}")

    trial: Any = SimpleNamespace(violations={}, notes=[], client=SimpleNamespace(sending=True))
    in_turn(("first", failing), ("second", failing))(trial)
    assert trial.violations == {"first: failed": 1, "second: failed": 1}
    assert "failed, 1" in trial.notes[1]
