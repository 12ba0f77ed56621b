-- How far each stage is behind its input, measured every 10 seconds by `sequence up` and by `sequence audit --watch`.
-- Neither ends with a worker: a worker that has ended or hangs still has its rows here.
--
-- A row for each measurement and partition, those without lag as well: what has no row was not measured.
CREATE TABLE IF NOT EXISTS lag
(
    measured_at DateTime64(3, 'UTC') CODEC(DoubleDelta, ZSTD(1)) COMMENT 'When it was measured',
    stage LowCardinality(String) COMMENT 'dedupe, persons or sink',
    topic LowCardinality(String) COMMENT 'Topic that the stage reads, without the prefix',
    partition UInt32 COMMENT 'Partition of the topic',
    workers UInt32 COMMENT 'Workers in the consumer group of the stage',
    waiting UInt64 CODEC(T64, ZSTD(1)) COMMENT 'Records that the stage has not committed',
    seconds Nullable(Float64) COMMENT 'Age of the oldest of them by the broker''s time; 0 without any, NULL if it could not be read'
)
ENGINE = MergeTree
PARTITION BY toDate(measured_at)
ORDER BY (stage, topic, partition, measured_at)
TTL toDateTime(measured_at) + INTERVAL 7 DAY
SETTINGS ttl_only_drop_parts = 1;

-- The newest measurement of each stage, and since when it is more than 10 seconds behind: the arrival of the oldest record
-- that waited when that began. A stage that keeps up is at most some seconds behind.
CREATE VIEW IF NOT EXISTS lag_now AS
SELECT stage, measured_at, round(dateDiff('millisecond', measured_at, now64(3)) / 1000, 1) AS age_seconds, newest.1 AS workers,
    newest.2 AS waiting, newest.3 AS seconds, since
FROM
(
    SELECT stage, max(at) AS measured_at, argMax((workers, waiting, seconds), at) AS newest,
        minOrNullIf(at - toIntervalMillisecond(toInt64(1000 * ifNull(seconds, 0))), at > kept_up) AS since
    FROM
    (
        SELECT stage, at, workers, waiting, seconds,
            maxIf(at, waiting = 0 OR ifNull(seconds <= 10, 0)) OVER (PARTITION BY stage) AS kept_up
        FROM
        (
            SELECT stage, measured_at AS at, max(workers) AS workers, sum(waiting) AS waiting, max(seconds) AS seconds
            FROM lag GROUP BY stage, at
        )
    )
    GROUP BY stage
);
