-- One row for each unique identify.
CREATE TABLE identifies
(
    project_id LowCardinality(String) COMMENT 'Project that the token belongs to',
    user_id String COMMENT 'Who is meant',
    message_id String COMMENT 'Unique within the project',
    timestamp DateTime64(6, 'UTC') COMMENT 'Since when it holds, after clock correction',
    traits JSON COMMENT 'What the caller sent',
    received_at DateTime64(6, 'UTC') COMMENT 'When the gateway had read the request',
    original_timestamp Nullable(DateTime64(6, 'UTC')) COMMENT 'timestamp as the caller sent it',
    sent_at Nullable(DateTime64(6, 'UTC')) COMMENT 'sentAt as the caller sent it',
    anonymous_id Nullable(String) COMMENT 'anonymousId as the caller sent it',
    context String COMMENT 'JSON text' CODEC(ZSTD(1)),
    integrations String COMMENT 'JSON text' CODEC(ZSTD(1)),
    _partition UInt32 COMMENT 'Partition of items.v1 that it came in',
    _origin UInt64 COMMENT 'Its offset there' CODEC(Delta, ZSTD(1)),
    PROJECTION positions (SELECT _partition, max(_origin) GROUP BY _partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (project_id, user_id, timestamp, message_id)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild';
