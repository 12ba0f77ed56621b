-- Types of the columns of typed views. A view is made from the catalogue and this table; see docs/views.md.
--
-- A type that was chosen stays, so that a query keeps its meaning. What `sequence views apply` declares is a row of its
-- own, which counts before the chosen one.
CREATE TABLE IF NOT EXISTS view_columns
(
    project_id LowCardinality(String) COMMENT 'Project of the view',
    view String COMMENT 'Name of the view; users for the traits of users and identifies',
    column String COMMENT 'Name of the column',
    is_declared Bool COMMENT 'Whether the type was declared, not chosen',
    type LowCardinality(String) COMMENT 'integer, float, boolean, text, date, time or decimal(P, S); empty if it counts no more',
    _version UInt64 COMMENT 'The row with the highest one counts'
)
ENGINE = ReplacingMergeTree(_version)
ORDER BY (project_id, view, column, is_declared)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
