-- Unique track events, one row each.
--
-- _origin is the source offset: the offset that the item has on items.v1 in partition _partition.
-- ReplacingMergeTree is a backstop for two writers at the same instant. It is not what makes an event count once.
-- merge_selector_base: with the default of 5, ClickHouse writes each row three times in 90 seconds of 30,000 rows a
-- second. With 10 it is 1.6 times, and 10 parts to read in place of 7.
-- Properties have any number of names; `make bench ONLY=names` compares the alternatives.
-- max_dynamic_paths: merges make the most frequent paths of a part columns of their own. With 0, the sum of a property
-- takes 2.5 times as long; with the default of 1,024, one project with 600 names stops the INSERTs of all.
-- object_shared_data_serialization_version: 'advanced' reads rare paths faster, but with 60,000 names a merge takes up
-- to 590 microseconds a row in place of 12, and four times the disk.
-- min_bytes_for_wide_part: a part of less than 2 GiB has fewer than 10 files, whatever the names and arrays in it. An
-- INSERT takes a quarter less CPU time than with the default, and stays below any limit of open files.
-- fsync_after_insert, fsync_part_directory: a power loss takes no acknowledged row. It costs 6 to 10 ms for an INSERT.
CREATE TABLE IF NOT EXISTS events
(
    project_id LowCardinality(String) COMMENT 'Project of the token',
    event LowCardinality(String) COMMENT 'Name of the event',
    user_id String COMMENT 'User who did it',
    message_id String COMMENT 'Unique within the project',
    timestamp DateTime64(6, 'UTC') COMMENT 'When it happened, after clock correction',
    properties JSON(max_dynamic_paths=8) COMMENT 'Properties as sent; properties.price is a number if it was sent as one',
    properties_null_keys Array(String) COMMENT 'Paths of properties that were sent as null',
    received_at DateTime64(6, 'UTC') COMMENT 'When the gateway had read the request',
    original_timestamp Nullable(DateTime64(6, 'UTC')) COMMENT 'timestamp as sent',
    sent_at Nullable(DateTime64(6, 'UTC')) COMMENT 'sentAt as sent',
    anonymous_id Nullable(String) COMMENT 'anonymousId as sent',
    context String COMMENT 'JSON text' CODEC(ZSTD(1)),
    integrations String COMMENT 'JSON text' CODEC(ZSTD(1)),
    _warnings Array(Tuple(code LowCardinality(String), field String, sent String)) COMMENT 'What the gateway changed',
    _log UInt16 COMMENT 'Log of the source offset: a row of _logs',
    _partition UInt32 COMMENT 'Partition of the item on items.v1',
    _origin UInt64 COMMENT 'Source offset: offset of the item on items.v1' CODEC(Delta, ZSTD(1)),
    PROJECTION positions (SELECT _log, _partition, max(_origin) GROUP BY _log, _partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (project_id, event, toDate(timestamp), user_id, message_id)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild',
    lightweight_mutation_projection_mode = 'rebuild', merge_selector_base = 10, fsync_after_insert = 1,
    fsync_part_directory = 1, object_shared_data_serialization_version = 'map_with_buckets',
    min_bytes_for_wide_part = 2147483648;
