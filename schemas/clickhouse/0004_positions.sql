-- Where the sink continues. Both tables are in the database of the rows, so a backup or a restore has them together.

-- Logs that the rows come from. A source offset means something only within its log.
CREATE TABLE IF NOT EXISTS _logs
(
    id UInt16 COMMENT 'Value of _log in the rows',
    cluster_id String COMMENT 'ID of the Kafka cluster',
    topic_prefix String COMMENT 'SEQUENCE_TOPIC_PREFIX',
    topic_version String COMMENT 'Version in the names of the topics',
    partitions UInt32 COMMENT 'Partitions of each topic',
    added_at DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY id
-- Of several workers that register an id at once, the first one wins: their INSERTs have the same token.
SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1, fsync_part_directory = 1;

-- Positions that the rows of a table do not show: their rows were removed on purpose, or the last row was rejected.
-- The position of a table is the higher one of its highest source offset and of its entry here.
CREATE TABLE IF NOT EXISTS _positions
(
    table_name LowCardinality(String),
    _log UInt16,
    _partition UInt32,
    position UInt64 COMMENT 'Source offset up to which every row is written, rejected or removed on purpose',
    after Int64 DEFAULT -1 COMMENT 'The entry counts only while the rows show at least this source offset',
    reason LowCardinality(String) COMMENT 'rejected, kept or accepted_loss',
    written_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(position)
ORDER BY (table_name, _log, _partition, reason)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
