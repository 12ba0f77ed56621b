"""The engine's own access control, as the text of its configuration files. Pure.

The engine has one user, `default`, and several roles. A connection takes the role of its request before it runs the
statement: `writer` may do everything, `reader` (GET by the writer) and `analyst` may only read. A login of a project
has the role of its database, which may read that database alone. A profile makes every setting constant for readers and
analysts that is not listed here, so that the engine refuses it in the URL, in SET and in SETTINGS. Row policies empty
the system tables with queries, errors and paths of the server. A setting or a system table that a newer engine adds is
closed until it is listed here.

The engine reads the roles once, when it is opened.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from hashlib import sha256
from xml.sax.saxutils import escape

from schemas.clickhouse.analyst import LIMITS, READING, READING_JSON, readable_tables
from schemas.clickhouse.quoting import quoted

CONFIG_FILE = "engine.xml"
"""The engine reads a file `config.xml` of its own accord, even without a data directory."""
_USERS_FILE = "users.xml"
_BACKUPS = "<backups><allowed_path>/</allowed_path></backups>"
"""Where BACKUP and RESTORE may read and write: wherever this user may. Only the writer may run them, who also has the
table function `file`."""
_READ_ONLY = "2"
"""A value of `readonly`: no writes, and settings can be changed within the profile."""

_ALLOWED_SETTINGS = frozenset(
    # Limits. An analyst can only lower those of `_ANALYST_LIMITS`.
    {*LIMITS, "max_threads", "max_final_threads", "max_block_size", "max_result_rows", "max_result_bytes"}
    # `USE` sets it.
    | {"database"}
    | {"max_rows_to_read", "max_bytes_to_read", "max_rows_to_group_by", "max_rows_to_sort", "limit", "offset"}
    | {"result_overflow_mode", "read_overflow_mode", "group_by_overflow_mode", "sort_overflow_mode"}
    | {"timeout_overflow_mode", "connect_timeout", "receive_timeout", "send_timeout", "interactive_delay"}
    # Meaning of a query.
    | set(READING)
    | {"join_use_nulls", "group_by_use_nulls", "transform_null_in", "union_default_mode", "join_algorithm", "final"}
    | {"any_join_distinct_right_table_keys", "join_any_take_last_row", "prefer_column_name_to_alias", "extremes"}
    | {"aggregate_functions_null_for_empty", "count_distinct_implementation", "cast_keep_nullable", "session_timezone"}
    | {"data_type_default_nullable", "distributed_product_mode", "select_sequential_consistency"}
    | {"optimize_read_in_order", "use_client_time_zone", "cast_string_to_dynamic_use_inference"}
    | {"enable_analyzer", "allow_experimental_analyzer", "enable_json_type", "allow_experimental_json_type"}
    | {"enable_dynamic_type", "allow_experimental_dynamic_type", "enable_variant_type", "enable_time_time64_type"}
    | {"allow_experimental_variant_type", "allow_suspicious_low_cardinality_types"}
    | {"allow_suspicious_types_in_order_by"}
    # Text of the result, beside every `output_format_`.
    | {"date_time_input_format", "date_time_output_format", "bool_true_representation", "bool_false_representation"}
    | {"format_csv_delimiter", "format_csv_null_representation", "format_tsv_null_representation"}
    # Drivers send these with every request; they have no effect on reading.
    | {"async_insert", "wait_for_async_insert", "insert_quorum", "mutations_sync", "log_comment", "log_queries"}
    | {"network_compression_method", "network_zstd_compression_level"}
    | {"input_format_null_as_default", "http_response_buffer_size", "http_write_exception_in_output_format"}
)
_ANALYST_LIMITS = {**LIMITS, "max_result_bytes": 1_000_000_000}
"""A server streams its results. Here the last limit bounds the memory that one takes, which `max_memory_usage` does not
count: about four times its size."""
_FILE_SETTINGS = frozenset({"output_format_schema"})
"""Settings with an allowed prefix that name a file."""
_MAX_THREADS = 64

_VISIBLE_SYSTEM_TABLES = frozenset(
    {"aggregate_function_combinators", "build_options", "clusters", "collations", "columns", "current_roles"}
    | {"data_skipping_indices", "data_type_families", "databases", "dictionaries", "enabled_roles", "formats"}
    | {"functions", "keywords", "numbers", "numbers_mt", "one", "parts", "primes", "settings", "statements"}
    | {"table_engines", "table_functions", "tables", "time_zones", "zeros", "zeros_mt"}
)
"""What BI tools read to list tables, columns, functions and settings, and `sequence trace` when a row was written."""


class Role(StrEnum):
    """A role that the engine always has; those of projects are named by `project_role`."""

    WRITER = "writer"
    READER = "reader"
    ANALYST = "analyst"


def project_role(database: str) -> str:
    """Return the role that may read the views in *database*. A role of this name is in SQL and XML as it is."""
    return f"project_{sha256(database.encode()).hexdigest()[:16]}"


def is_project_role(role: str) -> bool:
    """Return whether *role* is that of a project's database."""
    return role not in frozenset(Role)


def on_connect(role: str) -> list[str]:
    """Return the statements with which a new connection of *role* begins; none of them can be undone by it."""
    if role == Role.WRITER:
        return ["SET ROLE writer"]
    if role == Role.READER:
        return ["SET ROLE reader", f"SET readonly = {_READ_ONLY}", "SET profile = 'reader'"]
    limits = [f"{name} = {limit}" for name, limit in _ANALYST_LIMITS.items()]
    settings = [*limits, *(f"{name} = {value}" for name, value in READING.items()), f"readonly = {_READ_ONLY}"]
    return [f"SET ROLE {role}", f"SET {', '.join(settings)}", "SET profile = 'analyst'"]


def is_allowed(setting: str) -> bool:
    """Return whether readers and analysts may change *setting*."""
    prefixed = setting.startswith("output_format_") and setting not in _FILE_SETTINGS
    return prefixed or setting in _ALLOWED_SETTINGS


def configuration(
    database: str, settings: Iterable[str], system_tables: Iterable[str], projects: Iterable[str]
) -> dict[str, str]:
    """Return the engine's configuration files by name, given the names of all its settings and system tables.

    *projects* are the databases of views that have a role of their own.
    """
    return {
        CONFIG_FILE: f"<clickhouse><users_config>{_USERS_FILE}</users_config>{_BACKUPS}</clickhouse>\n",
        _USERS_FILE: _users(database, sorted(settings), sorted(system_tables), sorted(projects)),
    }


def _users(database: str, settings: list[str], system_tables: list[str], projects: list[str]) -> str:
    constants = [_element(name, "<const/>") for name in settings if not is_allowed(name)]
    threads = _element("max_threads", f"<max>{_MAX_THREADS}</max>")
    limits = [_element(name, f"<min>1</min><max>{limit}</max>") for name, limit in _ANALYST_LIMITS.items()]
    reading = [_element(name, str(value)) for name, value in READING_JSON.items()]
    reader = _element("constraints", *constants, threads)
    analyst = _element("constraints", *constants, threads, *limits)
    # A policy hides its table's rows where the expression is 0.
    policy = _element("filter", "hasAny(currentRoles(), ['writer', 'reader'])")
    hidden = [_element(name, policy) for name in system_tables if name not in _VISIBLE_SYSTEM_TABLES]
    grants = [f"GRANT SELECT ON {table}" for table in readable_tables(database)]
    of_projects = {project_role(project): f"GRANT SELECT ON {quoted(project)}.*" for project in projects}
    return _element(
        "clickhouse",
        _element(
            "profiles", _element("default", *reading), _element(Role.READER, reader), _element(Role.ANALYST, analyst)
        ),
        _element("quotas", "<default/>"),
        _element(
            "roles",
            _element(Role.WRITER, _grants("GRANT ALL ON *.*")),
            _element(Role.READER, _grants("GRANT SELECT, SHOW, dictGet ON *.*")),
            _element(Role.ANALYST, _grants(*grants)),
            *(_element(role, _grants(grant)) for role, grant in of_projects.items()),
        ),
        _element(
            "users",
            _element(
                "default",
                "<password/><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>",
                _grants(*(f"GRANT {role}" for role in [*Role, *of_projects])),
                _element("databases", _element("system", *hidden)),
            ),
        ),
    )


def _grants(*statements: str) -> str:
    return _element("grants", *(_element("query", escape(statement)) for statement in statements))


def _element(name: str, *content: str) -> str:
    return f"<{name}>{''.join(content)}</{name}>\n"
