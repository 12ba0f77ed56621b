-- What DESCRIBE and BI tools show to analysts about the tables. docs/sql.md has the same words. Only metadata changes.
--
-- Columns and table apart: on a cluster the replicas share the columns, and each has a table comment of its own, which
-- ClickHouse gives to one of them. Nothing depends on a comment.
ALTER TABLE events COMMENT COLUMN event 'Name of the event as sent. An event may have several spellings, such as Order Completed and orderCompleted, which typed views put together',
    COMMENT COLUMN properties 'Properties as sent. num(properties.price) reads a number, str(properties.plan) text; properties.price alone has the type that was sent. A dot in a name is %2E';
ALTER TABLE events MODIFY COMMENT 'A row for each unique track event';
ALTER TABLE identifies COMMENT COLUMN traits 'Traits of this call as sent. num(traits.age) reads a number, str(traits.plan) text; traits.plan alone has the type that was sent. A dot in a name is %2E';
ALTER TABLE identifies MODIFY COMMENT 'A row for each unique identify, with the traits of that call. The view persons has the current traits of each user';
ALTER TABLE person_states MODIFY COMMENT 'States of persons, older ones as well until merges remove them. The view persons has the newest of each';
