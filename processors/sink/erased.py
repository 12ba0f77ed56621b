"""Rows that an erasure covers, and which the sink therefore leaves out.

An item may be on its way while its user is erased, and a rebuild reads it again. Offsets count in the cluster that they
belong to alone. A state of a person is left out if it does not know the newest erasure of its user: the persons stage
writes one that does.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from processors.engine.project_follower import ClusterProjects
from processors.erased_users import ErasedUsers
from processors.sink.rows import DuplicateRow, EventRow, IdentifyRow, PersonRow, RejectedRow, Row
from schemas.clickhouse import EVENTS
from schemas.erasure import Erasure
from schemas.times import parse_time
from schemas.user_ids import user_ids_in


class LeftOut(NamedTuple):
    """A row that an erasure covers."""

    row: Row
    erasure: str
    """Identifier of the erasure."""


class _Timestamp(msgspec.Struct):
    timestamp: str


_timestamp = msgspec.json.Decoder(_Timestamp).decode


class _Bounds(NamedTuple):
    """Of the erasures of a project: what none of them covers need not be looked up."""

    erasures: Mapping[str, Erasure]
    items: Sequence[int]
    rejections: Sequence[int]
    newest: int


class ErasedRows:
    """Divides rows; follows the projects. Costs a look-up by project if there are no erasures."""

    def __init__(self, projects: ClusterProjects) -> None:
        self._projects = projects
        self._users = ErasedUsers(projects)
        self._bounds: dict[str, _Bounds] = {}

    def divide(self, rows: Iterable[Row]) -> tuple[list[Row], list[LeftOut]]:
        """Return the rows to write and those to leave out, each in their order."""
        rows = list(rows)
        by_project = self._projects.table.erasures
        if not by_project:
            return rows, []
        written, left_out = [], []
        for row in rows:
            erasures = by_project.get(row.project_id)
            covering = self._covering(row, erasures) if erasures else None
            if covering is None:
                written.append(row)
            else:
                left_out.append(LeftOut(row, covering))
        return written, left_out

    def _covering(self, row: Row, erasures: Mapping[str, Erasure]) -> str | None:
        """Return the identifier of an erasure that covers *row*."""
        bounds = self._bounds_of(row.project_id, erasures)
        if isinstance(row, PersonRow):
            if row.erased >= bounds.newest:
                return None
            covering = [each for each in self._users.of(row.project_id, row.user_id) if row.erased < each.requested_at]
        elif isinstance(row, RejectedRow):
            covering = self._of_rejection(row, bounds)
        elif row.source_offset >= _end(bounds.items, row.partition):
            return None
        else:
            covering = [
                each
                for each in self._own(row.project_id, row.user_id)
                if each.covers_item(row.partition, row.source_offset, _time(row))
            ]
        return next((name for name, each in erasures.items() if each is covering[-1]), "") if covering else None

    def _of_rejection(self, row: RejectedRow, bounds: _Bounds) -> list[Erasure]:
        of_item = row.source_topic == EVENTS.source
        place = row.rejected_partition, row.rejected_offset
        is_before = row.source_offset < _end(bounds.rejections, row.partition)
        if not is_before and not (of_item and place[1] < _end(bounds.items, place[0])):
            return []
        time = _time(row)
        return [
            each
            for user_id in _users_of(row)
            for each in self._own(row.project_id, user_id)
            if each.covers_time(time)
            and (
                each.covers_rejection(row.partition, row.source_offset) or (of_item and each.covers_item(*place, time))
            )
        ]

    def _own(self, project_id: str, user_id: str) -> list[Erasure]:
        cluster_id = self._projects.cluster_id
        return [each for each in self._users.of(project_id, user_id) if each.cluster_id == cluster_id]

    def _bounds_of(self, project_id: str, erasures: Mapping[str, Erasure]) -> _Bounds:
        known = self._bounds.get(project_id)
        if known is None or known.erasures is not erasures:
            own = [each for each in erasures.values() if each.cluster_id == self._projects.cluster_id]
            known = self._bounds[project_id] = _Bounds(
                erasures,
                _highest([each.items for each in own]),
                _highest([each.rejections for each in own]),
                max(each.requested_at for each in erasures.values()),
            )
        return known


def _highest(ends: Sequence[Sequence[int]]) -> list[int]:
    count = max(map(len, ends), default=0)
    return [max(each[number] for each in ends if number < len(each)) for number in range(count)]


def _end(ends: Sequence[int], partition: int) -> int:
    return ends[partition] if partition < len(ends) else 0


def _time(row: Row) -> int:
    """Return when it happened, in microseconds; when it was received if its content does not say it."""
    if isinstance(row, PersonRow):
        return 0
    try:
        return parse_time(
            row.timestamp if isinstance(row, EventRow | IdentifyRow) else _timestamp(_content(row)).timestamp
        )
    except (ValueError, UnicodeDecodeError, RecursionError):
        return parse_time(row.received_at)


def _content(row: DuplicateRow | RejectedRow) -> bytes:
    content = row.content.encode("utf-8", "surrogatepass")
    if not isinstance(row, RejectedRow) or not row.is_base64:
        return content
    try:
        return base64.b64decode(content)
    except binascii.Error:
        return b""


def _users_of(row: RejectedRow) -> set[str]:
    return {row.user_id, *user_ids_in(_content(row))} - {""}
