-- What each trait of a user was, and when: a row for each user, trait and value that differs from the one before.
--
-- The rules are those of the fold in schemas/persons.py: a value applies from the time of its identify, whenever it
-- arrives; of two writes at one time a null wins, then the higher messageId. Identifies that the stage persons has
-- rejected are left out. Nothing is stored: the view reads the identifies.
-- Conditions on project_id, user_id and trait reach the innermost SELECT.
CREATE VIEW IF NOT EXISTS person_history AS
SELECT project_id, user_id, trait, if(startsWith(written, '"'), JSONExtractString(written), written) AS value, valid_from,
    valid_to
FROM
(
    SELECT project_id, user_id, trait, written, time AS valid_from,
        leadInFrame(toNullable(time)) OVER (
            PARTITION BY project_id, user_id, trait ORDER BY time ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
        ) AS valid_to
    FROM
    (
        SELECT project_id, user_id, trait, time, written,
            lagInFrame(written) OVER (
                PARTITION BY project_id, user_id, trait ORDER BY time ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
            ) AS before
        FROM
        (
            -- JSON text of the value; empty where a null removes the trait.
            SELECT project_id, user_id, replaceAll(write.1, '%2E', '.') AS trait, timestamp AS time,
                argMax(write.2, (write.2 = '', kept_id, write.2)) AS written
            FROM
            (
                SELECT project_id, user_id, timestamp,
                    if(lengthUTF8(message_id) <= 64, message_id, concat('~', message_id)) AS kept_id,
                    arrayJoin(arrayConcat(
                        JSONExtractKeysAndValuesRaw(toJSONString(traits)),
                        arrayMap(
                            key -> (key, ''),
                            arrayFilter(key -> position(key, '.') = 0 AND NOT endsWith(key, '[]'), traits_null_keys)
                        )
                    )) AS write
                FROM identifies
                WHERE (_log, _partition, _origin) NOT IN
                (
                    SELECT _log, source_partition, source_offset FROM rejected
                    WHERE stage = 'persons' AND source_topic = 'items.v1'
                )
            )
            GROUP BY project_id, user_id, trait, time
        )
    )
    WHERE written != before
)
WHERE written != '';
