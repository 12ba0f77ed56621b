-- Retention: rows leave a table by the week of their receipt. docs/retention.md explains it.
--
-- By month, a removal would read and write four times as many rows that stay. By class of retention, the rows of a batch
-- would go to several partitions, and ClickHouse stores them neither together nor in the order of their source offsets.
-- ClickHouse cannot change the key of a table: processors/clickhouse/partition_key.py copies the rows to a new one.
ALTER TABLE events MODIFY PARTITION BY toMonday(received_at);
ALTER TABLE identifies MODIFY PARTITION BY toMonday(received_at);
ALTER TABLE duplicates MODIFY PARTITION BY toMonday(received_at);
ALTER TABLE rejected MODIFY PARTITION BY toMonday(received_at);

-- Rows that were removed because they had expired: a row for each removal and project. It is written before the rows leave
-- and replaced when they have left, so that a removal that was interrupted and repeated counts once. Read it with FINAL.
CREATE TABLE IF NOT EXISTS removals
(
    project_id LowCardinality(String) COMMENT 'Project of the rows',
    table_name LowCardinality(String) COMMENT 'Table that they were in',
    week Date COMMENT 'Monday of the week in which they were received',
    number UInt32 COMMENT 'Number of the removal: 0 for the first of the project from this week of the table',
    rows UInt64 COMMENT 'Removed rows',
    oldest DateTime64(6, 'UTC') COMMENT 'When the first of them was received',
    newest DateTime64(6, 'UTC') COMMENT 'When the last of them was received',
    removed_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When they had left; NULL while they are being removed',
    _left UInt64 COMMENT 'Rows of the project in this week that stay',
    _version UInt64 COMMENT 'The row with the highest one counts'
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY (table_name, week, number, project_id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- What became of the items that the gateway received: a row for each project, minute of receipt and stage.
--
-- received = accepted + duplicates + rejected. What the gateway accepts is what dedupe receives, and what dedupe accepts
-- is what the sink receives. Counted from rows: items that the sink has not stored yet are in no line.
-- Rows that have been removed are in no line of these stages any more. Their number is `removed`: of the stage retention
-- at the minute in which the first of them was received, of the stage erasure at the minute of the erasure.
CREATE OR REPLACE VIEW ledger AS
SELECT project_id, minute, line.1 AS stage, line.2 + line.3 + line.4 AS received, line.2 AS accepted,
    line.3 AS duplicates, line.4 AS rejected, toInt64(0) AS removed
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
WHERE accepted != 0 OR duplicates != 0 OR rejected != 0
UNION ALL
SELECT project_id, toStartOfMinute(oldest) AS minute, 'retention', 0, 0, 0, 0, toInt64(sum(rows))
FROM removals FINAL
WHERE removed_at IS NOT NULL
GROUP BY project_id, minute
UNION ALL
SELECT project_id, toStartOfMinute(removed_at) AS minute, 'erasure', 0, 0, 0, 0, toInt64(count())
FROM _removed FINAL
WHERE table_name != 'person_states'
GROUP BY project_id, minute;
