"""Statements with which a login of a project tries to read more than its own views.

`{base}` is the database of the tables, `{own}` that of the login's views, `{other}` that of the project `qqproject`,
`{role}` its role, and `{u}` the address of the server. The only event of `qqproject` has the view `qqevent` and the
property `qqhidden`, whose value is `SECRET`.
"""

from __future__ import annotations

SECRET = "do-not-tell"  # pragma: allowlist secret

_TABLES = (
    *("events", "identifies", "persons", "person_states", "person_history", "catalog", "catalog_counts", "ledger"),
    *("view_columns", "schema_migrations"),
)
READS = [
    *(f"SELECT * FROM {{base}}.{table}" for table in _TABLES),  # noqa: S608
    "SELECT * FROM {other}.tracks",
    "SELECT * FROM `{other}`.`qqevent`",
    'SELECT * FROM "{other}"."tracks" FINAL',
    "SELECT qqhidden FROM {other}.users",
    "SELECT * FROM {other}.person_history",
    "SELECT * FROM merge(REGEXP('^{base}'), '^person_history$')",
    "SELECT properties.qqhidden FROM {base}.events PREWHERE project_id != 'x'",
    "SELECT id FROM {own}.tracks UNION ALL SELECT qqhidden FROM {other}.qqevent",
    "SELECT o.* FROM {own}.tracks AS t CROSS JOIN {other}.tracks AS o",
    "WITH x AS (SELECT * FROM {other}.tracks) SELECT * FROM x",
    "SELECT (SELECT any(qqhidden) FROM {other}.qqevent)",
    "SELECT count() FROM {own}.tracks WHERE id IN (SELECT id FROM {other}.tracks)",
    "SELECT * FROM view(SELECT * FROM {other}.tracks)",
    "SELECT * FROM viewIfPermitted(SELECT qqhidden FROM {other}.qqevent ELSE null('qqhidden String'))",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT * FROM {other}.tracks))",
    "SELECT * FROM merge('{base}', 'events')",
    "SELECT * FROM merge('{other}', '.*')",
    "SELECT * FROM merge(REGEXP('.*'), 'tracks')",
    "SELECT * FROM merge(REGEXP('^{base}'), '^(events|qqevent|tracks)$')",
    "SELECT * FROM loop({other}.tracks) LIMIT 1",
    "SELECT * FROM loop('{base}', 'events') LIMIT 1",
    "SELECT * FROM remote('127.0.0.1', {other}.tracks)",
    "SELECT * FROM remote('127.0.0.1', '{base}', 'events', 'default', '')",
    "SELECT * FROM cluster('default', {other}.tracks)",
    "SELECT * FROM clusterAllReplicas('default', '{base}', 'events')",
    "SELECT * FROM url('{u}/?query=SELECT+qqhidden+FROM+{other}.qqevent', 'TSV', 'a String')",
    "SELECT * FROM file('data/{base}/events/*', 'LineAsString')",
    "SELECT * FROM file('users.xml', 'LineAsString')",
    "SELECT * FROM file('../analysts.json', 'LineAsString')",
    "SELECT * FROM mergeTreeIndex('{base}', 'events')",
    "SELECT * FROM mergeTreeProjection('{base}', 'events', 'positions')",
    "SELECT * FROM mergeTreeAnalyzeIndexes('{base}', 'events')",
    "SELECT * FROM dictionary('{other}.d')",
    "SELECT dictGet('{other}.d', 'qqhidden', 1)",
    "SELECT joinGet('{base}.events', 'properties', 'x')",
    "SELECT * FROM {other}.{t:Identifier}",
    "SELECT * FROM {d:Identifier}.tracks",
    "EXPLAIN SELECT * FROM {other}.qqevent",
    "EXPLAIN QUERY TREE SELECT * FROM {other}.qqevent",
    "EXPLAIN ESTIMATE SELECT * FROM {base}.events",
    "EXPLAIN indexes = 1 SELECT * FROM {base}.events",
    "SELECT 1; SELECT * FROM {other}.tracks",
    "SELECT 1 PARALLEL WITH SELECT * FROM {other}.tracks",
    "SET ROLE writer; SELECT * FROM {other}.tracks",
    "SELECT * FROM {own}.tracks SETTINGS additional_table_filters = {'{base}.events': '1'}",
]
"""Readers of rows."""

ANSWERED = [
    "SELECT * FROM viewIfPermitted(SELECT qqhidden FROM {other}.qqevent ELSE null('qqhidden String'))",
    "SELECT * FROM merge(REGEXP('.*'), 'tracks')",
    "SELECT * FROM merge(REGEXP('^{base}'), '^(events|qqevent|tracks)$')",
    "SELECT * FROM merge(REGEXP('^{base}'), '^person_history$')",
]
"""Those of `READS` that are answered, with rows of the login's own views or without any."""

NAMES = [
    "SHOW DATABASES",
    "SHOW TABLES FROM {other}",
    "SHOW TABLES FROM {base}",
    "SHOW FULL TABLES FROM {other}",
    "SHOW COLUMNS FROM qqevent FROM {other}",
    "SHOW INDEX FROM events FROM {base}",
    "SHOW CREATE DATABASE {other}",
    "SHOW CREATE TABLE {other}.qqevent",
    "SHOW CREATE VIEW {other}.qqevent",
    "DESCRIBE {other}.qqevent",
    "DESCRIBE TABLE merge('{other}', '.*')",
    "EXISTS DATABASE {other}",
    "EXISTS TABLE {other}.qqevent",
    "EXISTS VIEW {other}.qqevent",
    "CHECK TABLE {base}.events",
    "SELECT hasColumnInTable('{other}', 'qqevent', 'qqhidden')",
    "SELECT * FROM {other}.qqeven",
    "SELECT * FROM {other}x.qqevent",
    "SHOW GRANTS",
    "SHOW GRANTS FOR default",
    "SHOW GRANTS FOR {role}",
    "/* */ show   grants for `{role}`",
    "SHOW GRANTS FOR {role} FORMAT JSON",
    "SHOW CREATE ROLE {role}",
    "SHOW ACCESS",
    "SHOW USERS",
    "SHOW ROLES",
    "SHOW PROFILES",
    "SHOW POLICIES",
    "SHOW PROCESSLIST",
    "SHOW DICTIONARIES FROM {other}",
    "SHOW CLUSTERS",
]
"""Readers of names: of the databases, views and columns of other projects."""
