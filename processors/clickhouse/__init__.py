"""ClickHouse: client, migrations and the read-only user `analyst`."""
