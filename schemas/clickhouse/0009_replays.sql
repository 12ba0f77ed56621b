-- Replays of rejected items, one row for each `sequence rejected replay` that sent something. A row is written when the
-- replay begins and replaced when it ends: read it with FINAL.
CREATE TABLE IF NOT EXISTS replays
(
    id String COMMENT 'Identifier of the replay',
    project_id LowCardinality(String) COMMENT 'Project whose items were replayed',
    started_at DateTime64(3, 'UTC') COMMENT 'When the replay began',
    ended_at Nullable(DateTime64(3, 'UTC')) COMMENT 'When it ended; NULL while it runs, or if it was killed',
    who String COMMENT 'User and host of the command',
    selection String COMMENT 'Options that selected the items',
    program String COMMENT 'jq program that rewrote them; empty if they were sent as they were',
    gateway String COMMENT 'Address of the gateway',
    status LowCardinality(String) COMMENT 'running, complete, stopped at a rejection, or failed',
    read UInt64 COMMENT 'Selected items that were read',
    accepted UInt64 COMMENT 'Items that the gateway accepted',
    rejected UInt64 COMMENT 'Items that were rejected again',
    skipped UInt64 COMMENT 'Items that cannot be sent, or that the program left out',
    _version UInt64 COMMENT 'The row with the highest one counts'
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY (started_at, id)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
