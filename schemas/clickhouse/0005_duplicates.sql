-- Items whose messageId is in events or identifies already, one row each. See 0001 for _origin (the source offset) and
-- merge_selector_base.
CREATE TABLE IF NOT EXISTS duplicates
(
    project_id LowCardinality(String) COMMENT 'Project of the token',
    message_id String COMMENT 'messageId of the item and of its first one',
    type LowCardinality(String) COMMENT 'track or identify',
    event LowCardinality(String) COMMENT 'Name of the event, empty for an identify',
    user_id String COMMENT 'User of the item',
    received_at DateTime64(6, 'UTC') COMMENT 'When the gateway had read the request',
    first_origin UInt64 COMMENT 'Source offset of the first item, in the same log and partition',
    same_content Nullable(Bool) COMMENT 'Whether type, event, user, timestamp as sent and properties or traits are those of the first item; NULL if unknown',
    content String COMMENT 'The item as JSON text' CODEC(ZSTD(1)),
    _log UInt16 COMMENT 'Log of the source offset: a row of _logs',
    _partition UInt32 COMMENT 'Partition of the item on items.v1',
    _origin UInt64 COMMENT 'Source offset: offset of the item on items.v1' CODEC(Delta, ZSTD(1)),
    PROJECTION positions (SELECT _log, _partition, max(_origin) GROUP BY _log, _partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (project_id, event, message_id, _log, _partition, _origin)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild',
    lightweight_mutation_projection_mode = 'rebuild', merge_selector_base = 10, fsync_after_insert = 1,
    fsync_part_directory = 1;
