-- What became of the items that the gateway received: a row for each project, minute of receipt and stage.
--
-- received = accepted + duplicates + rejected. What the gateway accepts is what dedupe receives, and what dedupe accepts
-- is what the sink receives. Counted from rows: items that the sink has not stored yet are in no line.
CREATE VIEW IF NOT EXISTS ledger AS
SELECT project_id, minute, line.1 AS stage, line.2 + line.3 + line.4 AS received, line.2 AS accepted,
    line.3 AS duplicates, line.4 AS rejected
FROM
(
    SELECT project_id, minute, toInt64(sum(events)) AS stored_events, toInt64(sum(identifies)) AS stored_identifies,
        toInt64(sum(duplicates)) AS stored_duplicates, toInt64(sum(by_gateway)) AS rejected_by_gateway,
        toInt64(sum(by_dedupe)) AS rejected_by_dedupe, toInt64(sum(by_persons)) AS rejected_by_persons,
        toInt64(sum(by_sink)) AS rejected_by_sink, toInt64(sum(duplicates_by_sink)) AS rejected_duplicates
    FROM
    (
        SELECT project_id, toStartOfMinute(received_at) AS minute, count() AS events, 0 AS identifies, 0 AS duplicates,
            0 AS by_gateway, 0 AS by_dedupe, 0 AS by_persons, 0 AS by_sink, 0 AS duplicates_by_sink
        FROM events GROUP BY project_id, minute
        UNION ALL
        SELECT project_id, toStartOfMinute(received_at) AS minute, 0, count(), 0, 0, 0, 0, 0, 0
        FROM identifies GROUP BY project_id, minute
        UNION ALL
        SELECT project_id, toStartOfMinute(received_at) AS minute, 0, 0, count(), 0, 0, 0, 0, 0
        FROM duplicates GROUP BY project_id, minute
        UNION ALL
        SELECT project_id, minute, 0, 0, 0, countIf(stage = 'gateway'), countIf(stage = 'dedupe'),
            countIf(stage = 'persons' AND source_topic = 'items.v1'),
            countIf(stage = 'sink' AND table_name IN ('', 'events', 'identifies') AND source_topic IN ('items.v1', 'events.v1')),
            countIf(stage = 'sink' AND table_name = 'duplicates')
        FROM
        (
            -- A worker may reject an item twice; it counts once.
            SELECT project_id, stage, table_name, source_topic, min(toStartOfMinute(received_at)) AS minute
            FROM rejected GROUP BY project_id, stage, table_name, source_topic, source_partition, source_offset, _log
        )
        GROUP BY project_id, minute
    )
    GROUP BY project_id, minute
)
ARRAY JOIN
[
    (
        'gateway',
        stored_events + stored_identifies + stored_duplicates + rejected_by_dedupe + rejected_by_sink + rejected_duplicates,
        toInt64(0), rejected_by_gateway
    ),
    ('dedupe', stored_events + stored_identifies + rejected_by_sink, stored_duplicates + rejected_duplicates, rejected_by_dedupe),
    ('persons', stored_identifies - rejected_by_persons, toInt64(0), rejected_by_persons),
    ('sink', stored_events + stored_identifies, toInt64(0), rejected_by_sink)
] AS line
WHERE accepted != 0 OR duplicates != 0 OR rejected != 0;
