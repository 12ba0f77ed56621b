"""The order of the stages of `sequence doctor --probe`."""

from __future__ import annotations

from deploy.operate.probe import Timed, in_order


def timed(stage: str, seconds: float) -> Timed:
    return Timed(stage=stage, seconds=seconds, about="")


def test_items_come_before_events_when_both_are_read_at_once() -> None:
    found = in_order([timed("on events.v1", 0.029), timed("on items.v1", 0.0293), timed("accepted", 0.024)])
    assert [(each.stage, each.seconds) for each in found] == [
        ("accepted", 0.024),
        ("on items.v1", 0.029),
        ("on events.v1", 0.029),
    ]


def test_reply_may_come_after_the_record_is_read() -> None:
    found = in_order([timed("on items.v1", 0.02), timed("accepted", 0.03), timed("row visible", 0.2)])
    assert [each.stage for each in found] == ["on items.v1", "accepted", "row visible"]
