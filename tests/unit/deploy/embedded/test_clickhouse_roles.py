"""The configuration of the engine: settings and system tables are closed unless they are listed."""

from __future__ import annotations

import re

from deploy.embedded.clickhouse.roles import (
    Role,
    configuration,
    is_allowed,
    is_project_role,
    on_connect,
    project_role,
)
from schemas.clickhouse.analyst import READING, READING_JSON

SETTINGS, SYSTEM_TABLES = ["max_threads", "format_schema", "new"], ["one", "processes", "new_log"]
TEXT = configuration("sequence", SETTINGS, SYSTEM_TABLES, ["sequence_shop"])["users.xml"]


def test_setting_that_is_not_listed_is_constant() -> None:
    assert sorted(set(re.findall(r"<(\w+)><const/>", TEXT))) == ["format_schema", "new"]


def test_system_table_that_is_not_listed_has_no_rows() -> None:
    assert re.findall(r"<(\w+)><filter>", TEXT) == ["new_log", "processes"]


def test_analyst_may_read_the_tables_of_the_database_only() -> None:
    granted = re.findall(r"GRANT SELECT ON (\S+?)</query>", _role(TEXT, Role.ANALYST))
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
    assert granted == [*(f"sequence.{table}" for table in names), "sequence_*.*"]


def test_role_of_a_project_may_read_its_database_only() -> None:
    role = project_role("sequence_shop")

    assert _role(TEXT, role) == "<grants><query>GRANT SELECT ON `sequence_shop`.*</query></grants>"
    assert f"<query>GRANT {role}</query>" in TEXT
    assert [is_project_role(each) for each in (role, *Role)] == [True, False, False, False]
    assert project_role("sequence_shop2") != role


def test_role_of_a_project_has_the_limits_and_the_profile_of_the_analyst() -> None:
    [analyst, *rest] = on_connect(Role.ANALYST)
    [project, *same] = on_connect(project_role("sequence_shop"))

    assert (analyst, project) == ("SET ROLE analyst", f"SET ROLE {project_role('sequence_shop')}")
    assert rest == same
    assert "join_use_nulls = 1" in rest[0]
    assert all("join_use_nulls" not in text for role in (Role.WRITER, Role.READER) for text in on_connect(role))


def test_every_user_reads_properties_of_any_type_and_may_change_how() -> None:
    [default] = re.findall(r"<profiles><default>(.*?)</default>", TEXT, re.DOTALL)
    assert dict(re.findall(r"<(\w+)>(\w+)</", default)) == {name: str(value) for name, value in READING_JSON.items()}
    assert "json_type_escape_dots_in_keys" in READING
    assert all(map(is_allowed, READING))


def test_settings_of_the_output_are_allowed_except_for_the_name_of_a_file() -> None:
    assert is_allowed("output_format_json_quote_64bit_integers")
    assert not is_allowed("output_format_schema")
    assert not is_allowed("output_format")


def _role(text: str, role: str) -> str:
    """Return the content of *role* in a configuration, without line breaks."""
    [roles] = re.findall(r"<roles>(.*?)</roles>", text, re.DOTALL)
    [content] = re.findall(rf"<{role}>(.*?)</{role}>", roles, re.DOTALL)
    return str(content).replace("\n", "")
