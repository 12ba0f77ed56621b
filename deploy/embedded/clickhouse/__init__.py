"""An embedded ClickHouse server: the engine of `chdb` behind an HTTP server that speaks ClickHouse's HTTP protocol.

It implements the part of https://clickhouse.com/docs/interfaces/http that clients use: the query in the URL or the
body, the rows of an INSERT in the body, FORMAT, settings and query parameters in the URL, compression of HTTP and of
ClickHouse in both directions, Native for a protocol version, and errors with their codes. docs/tools.md lists tools
that work unchanged. Differences from a ClickHouse server: its users are those of `users`, passwords are read from
headers only, GET and POST have sessions of their own, browsers are rejected, and results are not streamed.
"""
