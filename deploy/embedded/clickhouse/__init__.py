"""ClickHouse for one machine: its engine (`chdb`) behind a small front that speaks ClickHouse's own HTTP protocol.

The interface is https://clickhouse.com/docs/interfaces/http, as far as its clients use it: query in the URL or the
body, INSERT with its rows in the body, FORMAT, settings and query parameters in the URL, compression both ways, errors
with their codes. clickhouse-connect, curl and Grafana work with it unchanged. What differs from a server: there are two
users (see `access`), an analyst has no sessions, and no answer is streamed.
"""
