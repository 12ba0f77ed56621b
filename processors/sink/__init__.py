"""`events.v1` and `persons.v1` to ClickHouse."""
