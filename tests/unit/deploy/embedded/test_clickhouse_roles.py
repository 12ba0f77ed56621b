"""The configuration of the engine: settings and system tables are closed unless they are listed."""

from __future__ import annotations

import re

from deploy.embedded.clickhouse.roles import configuration, is_allowed
from schemas.clickhouse.analyst import READING

TEXT = configuration("sequence", ["max_threads", "format_schema", "new"], ["one", "processes", "new_log"])["users.xml"]


def test_setting_that_is_not_listed_is_constant() -> None:
    assert sorted(set(re.findall(r"<(\w+)><const/>", TEXT))) == ["format_schema", "new"]


def test_system_table_that_is_not_listed_has_no_rows() -> None:
    assert re.findall(r"<(\w+)><filter>", TEXT) == ["new_log", "processes"]


def test_analyst_may_read_the_tables_of_the_database_only() -> None:
    granted = re.findall(r"GRANT SELECT ON (\S+)</query>", TEXT)
    names = [
        *("events", "identifies", "persons", "person_states", "duplicates", "rejected", "ledger", "replays", "_logs"),
        *("_positions", "catalog", "catalog_counts", "person_history", "lag", "lag_now"),
    ]
    assert granted == [*(f"sequence.{table}" for table in names), "sequence_*.*"]


def test_every_user_reads_properties_of_any_type_and_may_change_how() -> None:
    [default] = re.findall(r"<profiles><default>(.*?)</default>", TEXT, re.DOTALL)
    assert dict(re.findall(r"<(\w+)>(\w+)</", default)) == {name: str(value) for name, value in READING.items()}
    assert "json_type_escape_dots_in_keys" in READING
    assert all(map(is_allowed, READING))


def test_settings_of_the_output_are_allowed_except_for_the_name_of_a_file() -> None:
    assert is_allowed("output_format_json_quote_64bit_integers")
    assert not is_allowed("output_format_schema")
    assert not is_allowed("output_format")
