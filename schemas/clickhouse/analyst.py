"""What analysts may read, their settings and limits: the same on a server and in the local stack.

The login `analyst` reads the tables and the typed views of all projects. A login of a project, which `sequence analyst`
creates, reads the database of that project's views and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

LIMITS: Mapping[str, int] = MappingProxyType({"max_execution_time": 300, "max_memory_usage": 4_000_000_000})
"""Seconds and bytes that a query of an analyst may use. A query may set less, but neither more nor 0, no limit."""

READING_JSON: Mapping[str, int] = MappingProxyType(
    {
        # The sink writes with this one, so the path of `utm.source` is `utm%2Esource`. A reader without it would get
        # that as the name.
        "json_type_escape_dots_in_keys": 1,
        # GROUP BY, DISTINCT and PARTITION BY take a property. ORDER BY would sort by type first, so it stays refused.
        "allow_suspicious_types_in_group_by": 1,
        # A function or a comparison that cannot take the type of a value returns NULL for its row. By default one text
        # among numbers ends `properties.price > 10` for everybody.
        "dynamic_throw_on_type_mismatch": 0,
        "variant_throw_on_type_mismatch": 0,
        # Conditions filter in the order in which they are written. Otherwise ClickHouse compares a property with text
        # before it filters by project and event, and a number of another project ends the query.
        "allow_reorder_prewhere_conditions": 0,
    }
)
"""Settings that read properties of any type, and as they were sent. The writer of the local stack has them as well."""

READING: Mapping[str, int] = MappingProxyType(
    {
        **READING_JSON,
        # A column of an outer join is NULL where there is no row. By default it is empty text or 0, so that `IS NULL`
        # finds nobody.
        "join_use_nulls": 1,
    }
)
"""Settings of analysts. A query may set others."""

_TABLES = (
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
)


def readable_tables(database: str) -> list[str]:
    """Return the tables and views that an analyst may read, as ClickHouse names them: of *database* and of projects.

    The databases of typed views begin with *database* and `_`.
    """
    return [*(f"{database}.{table}" for table in _TABLES), f"{database}_*.*"]
