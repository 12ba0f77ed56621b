"""The statements that create the login `analyst` on a ClickHouse server."""

from __future__ import annotations

from processors.clickhouse.access import create_project_login, project_logins, set_password, statements
from schemas.settings import ClickHouseSettings

STATEMENTS = statements(ClickHouseSettings(database="shop"), "it's a secret")


def test_analyst_is_granted_the_tables_only() -> None:
    grants = [statement for statement in STATEMENTS if statement.startswith("GRANT")]

    names = [
        *("events", "identifies", "persons", "person_states", "duplicates", "rejected", "ledger", "replays", "_logs"),
        *(
            "_positions",
            "catalog",
            "catalog_counts",
            "person_history",
            "lag",
            "lag_now",
            "removals",
            "erasures",
            "_removed",
        ),
    ]
    granted = [*(f"shop.{table}" for table in names), "shop_*.*"]
    assert grants == [f"GRANT SELECT ON {table} TO analyst" for table in granted]


def test_limits_of_the_analyst_are_pinned_and_properties_of_any_type_are_read() -> None:
    [update] = [statement for statement in STATEMENTS if statement.startswith("ALTER USER")]

    assert update.endswith(
        " SETTINGS readonly = 2 CONST, max_execution_time = 300 MIN 1 MAX 300, "
        "max_memory_usage = 4000000000 MIN 1 MAX 4000000000, json_type_escape_dots_in_keys = 1, "
        "allow_suspicious_types_in_group_by = 1, dynamic_throw_on_type_mismatch = 0, "
        "variant_throw_on_type_mismatch = 0, allow_reorder_prewhere_conditions = 0, join_use_nulls = 1"
    )


def test_statements_have_no_password() -> None:
    assert not any("secret" in statement for statement in STATEMENTS)


def test_login_of_a_project_has_a_role_that_reads_its_database() -> None:
    role, grant, user, member = create_project_login("shop", "ana", "my-project", "shop_my_project", "it's a secret")

    assert role == "CREATE ROLE IF NOT EXISTS `shop analyst of my-project`"
    assert grant == "GRANT SELECT ON `shop_my_project`.* TO `shop analyst of my-project`"
    assert user.startswith("CREATE USER `ana` IDENTIFIED WITH sha256_hash BY '")
    [update] = [statement for statement in STATEMENTS if statement.startswith("ALTER USER")]
    settings = update[update.index(" SETTINGS ") :]
    assert user.endswith(f" DEFAULT DATABASE `shop_my_project`{settings}")
    assert member == "GRANT `shop analyst of my-project` TO `ana`"
    assert "startsWith(granted_role_name, 'shop analyst of ')" in project_logins("shop")
    assert set_password("ana", "x").startswith("ALTER USER `ana` IDENTIFIED WITH sha256_hash BY '2d711642")
    assert "secret" not in user
