-- Rejected items and records, one row for each record of rejected.v1. See 0001 for merge_selector_base.
--
-- _origin is the offset that the record has on rejected.v1 itself. The workers write to this topic at least once: what
-- they rejected is named by stage, table_name, source_topic, source_partition and source_offset, and counts once.
CREATE TABLE IF NOT EXISTS rejected
(
    project_id LowCardinality(String) COMMENT 'Project of the token',
    stage LowCardinality(String) COMMENT 'gateway, dedupe, persons or sink',
    code LowCardinality(String) COMMENT 'Why it was rejected',
    field String COMMENT 'Field at fault, or column of the row; empty if the whole is',
    value String COMMENT 'JSON text of the field, at most 256 characters',
    message String COMMENT 'Reason for people',
    message_id String COMMENT 'messageId; empty if it is not known',
    type String COMMENT 'type as sent; empty if it is not known',
    event String COMMENT 'Name of the event; empty if it is not known',
    user_id String COMMENT 'userId; empty if it is not known',
    received_at DateTime64(6, 'UTC') COMMENT 'When the gateway had read the request; rejected_at if it is not known',
    rejected_at DateTime64(6, 'UTC') COMMENT 'When the stage rejected it',
    request_id String COMMENT 'X-Request-Id of the request; of rejections by the gateway',
    table_name LowCardinality(String) COMMENT 'Table whose row ClickHouse did not take; empty otherwise',
    content String COMMENT 'What was rejected as JSON text, or in Base64' CODEC(ZSTD(1)),
    is_base64 Bool COMMENT 'Whether content is Base64, because its bytes are no text',
    is_truncated Bool COMMENT 'Whether content was longer than 1 MiB and is cut there',
    source_topic LowCardinality(String) COMMENT 'Topic of what was rejected; rejected.v1 for the gateway',
    source_partition UInt32 COMMENT 'Its partition on source_topic',
    source_offset UInt64 COMMENT 'Its offset on source_topic',
    _log UInt16 COMMENT 'Log of the offsets: a row of _logs',
    _partition UInt32 COMMENT 'Partition of the rejection on rejected.v1',
    _origin UInt64 COMMENT 'Offset of the rejection on rejected.v1' CODEC(Delta, ZSTD(1)),
    PROJECTION positions (SELECT _log, _partition, max(_origin) GROUP BY _log, _partition)
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(received_at)
ORDER BY (project_id, stage, code, toDate(received_at), _log, _partition, _origin)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild',
    lightweight_mutation_projection_mode = 'rebuild', merge_selector_base = 10, fsync_after_insert = 1,
    fsync_part_directory = 1;
