"""Check of the `local` extra."""

from __future__ import annotations

from importlib import metadata

import pytest

from deploy.errors import MissingExtraError
from deploy.local import extra


def test_missing_extra_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["click==8", "absent-one==1 ; extra == 'local'", "absent-two; extra == 'local'"]
    )

    with pytest.raises(MissingExtraError) as caught:
        extra.require()

    assert str(caught.value) == (
        "`sequence up` needs packages that are not installed: absent-one, absent-two. "
        "Install them with: pip install 'sequence-events[local]'"
    )


def test_installed_extra_is_accepted() -> None:
    extra.require()
