"""The cookie of a session."""

from __future__ import annotations

import pytest

from deploy.console.session import SECONDS, Sessions
from schemas.projects import digest

NOW = 1_800_000_000.0
TOKEN = digest("seq_dev_secret")


def test_cookie_stands_for_its_token_until_it_expires() -> None:
    sessions = Sessions("secret")
    cookie = sessions.sign(TOKEN, NOW)

    assert sessions.read(cookie, NOW) == TOKEN
    assert sessions.read(cookie, NOW + SECONDS - 1) == TOKEN
    assert sessions.read(cookie, NOW + SECONDS) is None


def test_cookie_survives_a_restart_only_with_the_same_secret() -> None:
    cookie = Sessions("secret").sign(TOKEN, NOW)

    assert Sessions("secret").read(cookie, NOW) == TOKEN
    assert Sessions("other").read(cookie, NOW) is None
    assert Sessions().read(Sessions().sign(TOKEN, NOW), NOW) is None, "without a secret each process has its own key"


def test_cookie_does_not_contain_the_token() -> None:
    assert "secret" not in Sessions("key").sign(TOKEN, NOW)


@pytest.mark.parametrize("place", range(4))
def test_changed_cookie_is_not_accepted(place: int) -> None:
    sessions = Sessions("secret")
    parts = sessions.sign(TOKEN, NOW).split(".")
    last = parts[place][-1]
    parts[place] = parts[place][:-1] + ("1" if last == "0" else "0")

    assert sessions.read(".".join(parts), NOW) is None


@pytest.mark.parametrize(
    "text", ["", "1", "1..", TOKEN, f"1.{TOKEN}.9999999999.", f"1.{TOKEN}.9999999999.{'0' * 64}", "é" * 200, "\ud800"]
)
def test_text_that_is_no_cookie_is_not_accepted(text: str) -> None:
    assert Sessions("secret").read(text, NOW) is None
