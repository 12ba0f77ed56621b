"""Listings of the `sequence` command."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deploy.listing import (
    PROJECT_COLUMNS,
    TOKEN_COLUMNS,
    describe_project,
    describe_token,
    project_page,
    show,
    table,
)
from schemas.projects import Project, Token

CREATED = 1_767_225_600_000_000
DAY = 86_400_000_000


def token(**changes: Any) -> Token:
    return Token("0123456789abcdef", "shop", "seq_shop_AbCd…", CREATED, **changes)


def test_columns_are_as_wide_as_their_longest_text() -> None:
    assert table(["ID", "NAME", "STATUS"], [["a", "The shop", "enabled"], ["longest", "", "disabled"]]) == (
        "ID       NAME      STATUS\na        The shop  enabled\nlongest            disabled"
    )


def test_row_is_one_line_that_a_terminal_does_not_act_on() -> None:
    assert table(["NAME"], [["a\x1b[31m\nb\u202ec"], ["größe 注文"]]) == "NAME\na\\x1b[31m\\nb\\u202ec\ngröße 注文"


def test_project_is_listed_with_its_rate_limit(capsys: pytest.CaptureFixture[str]) -> None:
    projects = [
        Project("blog", "My blog", CREATED),
        Project("shop", "Shop", CREATED, disabled=True, items_per_second=50.0, burst=100.0),
    ]

    show([describe_project(project) for project in projects], PROJECT_COLUMNS, as_json=False, empty="")

    assert capsys.readouterr().out.splitlines() == [
        "ID    NAME     STATUS    RATE LIMIT",
        "blog  My blog  enabled   none",
        "shop  Shop     disabled  50 items/s, burst 100",
    ]


def test_json_listing_has_the_documented_fields(capsys: pytest.CaptureFixture[str]) -> None:
    listed = [describe_token(token(expires_at=CREATED + DAY), "2026-01-02", CREATED)]

    show(listed, TOKEN_COLUMNS, as_json=True, empty="")

    assert json.loads(capsys.readouterr().out) == [
        {
            "id": "0123456789abcdef",
            "projectId": "shop",
            "hint": "seq_shop_AbCd…",
            "scope": "write",
            "status": "valid",
            "createdAt": "2026-01-01T00:00:00Z",
            "expiresAt": "2026-01-02T00:00:00Z",
            "revokedAt": None,
            "lastUsedOn": "2026-01-02",
        }
    ]


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, "valid"), ({"expires_at": CREATED + 1}, "expired"), ({"revoked_at": CREATED, "expires_at": 1}, "revoked")],
)
def test_token_status(changes: dict[str, int], status: str) -> None:
    assert describe_token(token(**changes), None, CREATED + DAY)["status"] == status


def test_empty_listing_is_a_sentence_or_an_empty_array(capsys: pytest.CaptureFixture[str]) -> None:
    show([], PROJECT_COLUMNS, as_json=False, empty="No projects.")
    show([], PROJECT_COLUMNS, as_json=True, empty="No projects.")

    assert capsys.readouterr().out == "No projects.\n[]\n"


def test_page_of_a_project_has_its_retention_and_that_of_its_events() -> None:
    kept = Project("shop", "Shop", CREATED, retention_days=90, event_retention=(("Page Viewed", 30),))

    assert "Retention    90 days\n             Page Viewed 30 days\n" in project_page(kept)
    assert "Retention    unlimited\n" in project_page(Project("shop", "Shop", CREATED))
    described = describe_project(kept)
    assert (described["retentionDays"], described["eventRetention"]) == (90, {"Page Viewed": 30})
