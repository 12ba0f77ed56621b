-- States of persons as persons.v1 brings them; older ones of a person go when parts merge.
CREATE TABLE person_states
(
    project_id LowCardinality(String),
    user_id String,
    traits JSON,
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    _partition UInt32 COMMENT 'Partition of persons.v1 that it came in',
    _origin UInt64 COMMENT 'Its offset there: grows with each change of a person',
    PROJECTION positions (SELECT _partition, max(_origin) GROUP BY _partition)
)
ENGINE = ReplacingMergeTree(_origin)
ORDER BY (project_id, user_id)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild';

-- Each person once, as they are now.
CREATE VIEW persons AS
SELECT project_id, user_id, traits, first_seen, last_seen, _origin AS version
FROM person_states FINAL;
