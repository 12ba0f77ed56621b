-- Unique identifies, one row each. See 0001 for _origin (the source offset) and the settings.
CREATE TABLE IF NOT EXISTS identifies
(
    project_id LowCardinality(String) COMMENT 'Project of the token',
    user_id String COMMENT 'User whose traits these are',
    message_id String COMMENT 'Unique within the project',
    timestamp DateTime64(6, 'UTC') COMMENT 'When the traits became valid, after clock correction',
    traits JSON(max_dynamic_paths=8) COMMENT 'Traits as sent',
    traits_null_keys Array(String) COMMENT 'Paths of traits that were sent as null',
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
ORDER BY (project_id, user_id, timestamp, message_id)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild',
    lightweight_mutation_projection_mode = 'rebuild', merge_selector_base = 10, fsync_after_insert = 1,
    fsync_part_directory = 1, object_shared_data_serialization_version = 'map_with_buckets',
    min_bytes_for_wide_part = 2147483648;
