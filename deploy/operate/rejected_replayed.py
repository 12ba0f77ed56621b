"""Which rejected items `sequence rejected replay` has sent again: their messageId tells. Pure.

`replays` bounds the time in which it was received, so that a few rows of the large tables are read, and none without a
replay.
"""

from __future__ import annotations

from deploy.operate.replay_items import AFTER_DEDUPE, REPLAYED
from schemas.clickhouse.quoting import literal
from schemas.items import MAX_ID_CHARACTERS

_CLOCKS = "INTERVAL 1 MINUTE"
"""By how much the clocks of a gateway and of the machine that replays may differ."""
_NAMED = f"concat({literal(REPLAYED)}, message_id)"
_SENT_ID = (
    "multiIf(message_id = '', concat('rejected:', toString(_log), '-', toString(_partition), '-', toString(_origin)),"
    f" stage NOT IN ({', '.join(map(literal, AFTER_DEDUPE))}), message_id,"
    f" lengthUTF8({_NAMED}) <= {MAX_ID_CHARACTERS}, {_NAMED},"
    f" concat({literal(REPLAYED)}, lower(hex(SHA256({_NAMED})))))"
)
"""What `deploy.operate.replay_items` gives an item of `rejected` as its messageId."""
_TIMES = f"SELECT groupArray((started_at - {_CLOCKS}, ifNull(ended_at, now64(3)) + {_CLOCKS})) FROM replays"  # noqa: S608  # our own names


def selected(condition: str) -> str:
    """Return a subquery with the rows of `rejected` for which *condition* is true, and the column `replayed_at`.

    It is when the item was received again, NULL if no replay sent it or if no table has it yet.
    """
    sent = " UNION ALL ".join(
        f"SELECT project_id, message_id, received_at FROM {table}"  # noqa: S608  # our own names
        f" WHERE received_at >= (SELECT min(started_at) - {_CLOCKS} FROM replays)"
        " AND project_id IN (SELECT project_id FROM replays)"
        f" AND arrayExists(each -> received_at BETWEEN each.1 AND each.2, ({_TIMES}))"
        f" AND message_id IN (SELECT {_SENT_ID} FROM rejected WHERE {condition})"
        for table in ("events", "identifies", "duplicates")
    )
    return (
        "(SELECT chosen.* EXCEPT (sent_id), if(ifNull(sent.at > chosen.rejected_at, 0), toNullable(sent.at), NULL)"  # noqa: S608  # as above
        f" AS replayed_at FROM (SELECT *, {_SENT_ID} AS sent_id FROM rejected WHERE {condition}) AS chosen"
        f" LEFT JOIN (SELECT project_id, message_id, max(received_at) AS at FROM ({sent}) GROUP BY ALL)"
        " AS sent ON sent.project_id = chosen.project_id AND sent.message_id = chosen.sent_id)"
    )
