-- States of persons from persons.v1. Merges remove the older states of a person.
--
-- _origin is the source offset: the offset that the state has on persons.v1 in partition _partition. It grows with each
-- change of a person. See 0001 for the settings.
CREATE TABLE IF NOT EXISTS person_states
(
    project_id LowCardinality(String),
    user_id String,
    traits JSON(max_dynamic_paths=8) COMMENT 'Traits; a removed trait is missing',
    traits_null_keys Array(String) COMMENT 'Paths of nulls inside traits',
    first_seen DateTime64(6, 'UTC'),
    last_seen DateTime64(6, 'UTC'),
    _log UInt16 COMMENT 'Log of the source offset: a row of _logs',
    _partition UInt32 COMMENT 'Partition of the state on persons.v1',
    _origin UInt64 COMMENT 'Source offset: offset of the state on persons.v1',
    PROJECTION positions (SELECT _log, _partition, max(_origin) GROUP BY _log, _partition)
)
ENGINE = ReplacingMergeTree(_origin)
ORDER BY (project_id, user_id)
SETTINGS non_replicated_deduplication_window = 10000, deduplicate_merge_projection_mode = 'rebuild',
    lightweight_mutation_projection_mode = 'rebuild', merge_selector_base = 10, fsync_after_insert = 1,
    fsync_part_directory = 1, object_shared_data_serialization_version = 'map_with_buckets',
    min_bytes_for_wide_part = 2147483648;

-- Current state of each person, one row each.
CREATE VIEW IF NOT EXISTS persons AS
SELECT project_id, user_id, traits, traits_null_keys, first_seen, last_seen, _origin AS version
FROM person_states FINAL;
