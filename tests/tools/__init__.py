"""Tools that people query with, unchanged, against an embedded ClickHouse: `make tools`."""
