-- The token that sent an item: its ID, as `sequence token list` shows it. Empty for items of earlier versions.
ALTER TABLE events ADD COLUMN IF NOT EXISTS _token LowCardinality(String) DEFAULT '' COMMENT 'ID of the token that sent it' AFTER _warnings;
ALTER TABLE identifies ADD COLUMN IF NOT EXISTS _token LowCardinality(String) DEFAULT '' COMMENT 'ID of the token that sent it' AFTER _warnings;
ALTER TABLE duplicates ADD COLUMN IF NOT EXISTS _token LowCardinality(String) DEFAULT '' COMMENT 'ID of the token that sent it' AFTER content;
ALTER TABLE rejected ADD COLUMN IF NOT EXISTS _token LowCardinality(String) DEFAULT '' COMMENT 'ID of the token that sent it' AFTER source_offset;
