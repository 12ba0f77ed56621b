"""What the sample declares about its columns: amounts are numbers, although one version of the app sends text."""

from __future__ import annotations

from deploy.operate import typed_views
from deploy.operate.view_declarations import parse
from processors.clickhouse.client import ClickHouse
from processors.typed_views.store import ViewStore

_DECLARATIONS = """
[projects.{project}.events."Order Completed"]
total = "float"
[projects.{project}.events."Order Refunded"]
total = "float"
[projects.{project}.events."Product Viewed"]
price = "float"
[projects.{project}.events."Product Added"]
price = "float"
[projects.{project}.events_with_person]
plan = "text"
"""


def declare(clickhouse: ClickHouse, project_id: str) -> bool:
    """Declare types of *project_id*, and the trait `plan` of `events_with_person`; return False if it has declarations.

    Raises `ArgumentError` if no event of the project has been counted.
    """
    if ViewStore(clickhouse).types(project_id).declared:
        return False
    declared = parse(_DECLARATIONS.format(project=project_id))
    typed_views.apply(clickhouse, typed_views.pending_changes(clickhouse, declared))
    return True
