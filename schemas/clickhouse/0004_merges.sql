-- Blocks of these tables are small, and the engine would merge each with all that is there: 23 times a row in a minute.
ALTER TABLE identifies MODIFY SETTING min_parts_to_merge_at_once = 24;

ALTER TABLE person_states MODIFY SETTING min_parts_to_merge_at_once = 24;
