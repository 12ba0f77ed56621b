"""How tests wait for servers, without servers."""

from __future__ import annotations

import pytest

from tests.support import services


class Clock:
    """A clock that stands still but for pauses and looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.pauses: list[float] = []
        monkeypatch.setattr(services, "monotonic", lambda: self.now)
        monkeypatch.setattr(services, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def look(self, seconds: float, until: float) -> bool:
        """Look for *seconds*; the condition holds from the time *until* on."""
        began = self.now
        self.now += seconds
        return began >= until


@pytest.mark.parametrize(("look", "pause"), [(0.0, 0.05), (0.01, 0.05), (0.1, 0.3), (1.0, 3.0)])
def test_looking_takes_a_quarter_of_the_time_at_most(
    monkeypatch: pytest.MonkeyPatch, look: float, pause: float
) -> None:
    clock = Clock(monkeypatch)

    services.eventually(lambda: clock.look(look, 12.0), "the time has come")

    assert clock.pauses == pytest.approx([pause] * len(clock.pauses))
    assert 12.0 <= clock.now < 12.0 + 2 * look + pause


def test_pause_that_a_test_gives_is_not_lengthened(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    services.eventually(lambda: clock.look(0.1, 2.0), "a state has passed", every_seconds=0.01)

    assert clock.pauses == pytest.approx([0.01] * len(clock.pauses))


def test_condition_that_holds_before_the_deadline_is_found_after_a_long_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    services.eventually(lambda: clock.look(4.0, 9.0), "the time has come", within_seconds=10)

    assert clock.now < 15.0


def test_condition_that_never_holds_fails_with_the_output(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)

    with pytest.raises(AssertionError, match=r"not within 10 s: it holds\nthe log"):
        services.eventually(lambda: clock.look(4.0, 99.0), "it holds", within_seconds=10, output=lambda: "the log")
