-- What was erased, and how far each erasure is.
--
-- _removed lists by source offset the rows that were erased, or that the sink left out because they were: the audit
-- misses none of them, and a refill writes none of them again.
CREATE TABLE IF NOT EXISTS _removed
(
    table_name LowCardinality(String) COMMENT 'Table that the row was in',
    _log UInt16,
    _partition UInt32,
    _origin UInt64 COMMENT 'Source offset of the row',
    project_id LowCardinality(String),
    erasure String COMMENT 'Identifier of the erasure',
    removed_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree
ORDER BY (table_name, _log, _partition, _origin)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

-- The row with the highest _version of an erasure counts. It holds no user ID.
CREATE TABLE IF NOT EXISTS erasures
(
    id String COMMENT 'Identifier of the erasure',
    project_id LowCardinality(String) COMMENT 'Project of the users',
    requested_at DateTime64(6, 'UTC') COMMENT 'When it was requested',
    users UInt32 COMMENT 'Number of users',
    since Nullable(DateTime64(6, 'UTC')) COMMENT 'Only what happened from here on; NULL for everything',
    until Nullable(DateTime64(6, 'UTC')) COMMENT 'Only what happened before; NULL for everything',
    status LowCardinality(String) COMMENT 'removing, invisible or proven',
    waits_for String COMMENT 'What is still to happen, for people',
    invisible_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When no query saw the rows any more',
    proven_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When no file of ClickHouse and no record of persons.v1 had them any more',
    topics_forget_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When the topics that are not compacted have forgotten them',
    rows Map(LowCardinality(String), UInt64) COMMENT 'Removed rows by table',
    backups Array(Tuple(name String, taken_at DateTime64(3, 'UTC'))) COMMENT 'Backups taken before, which still have the rows',
    updated_at DateTime64(3, 'UTC'),
    _version UInt64
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY (project_id, requested_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;

ALTER TABLE person_states ADD COLUMN IF NOT EXISTS _erased UInt64
    COMMENT 'Time of the last erasure that the state knows, in microseconds since 1970; 0 for none' AFTER last_seen;
