"""The console: a page about events and the pipeline, and its JSON API, in a process of its own.

It reads Kafka and ClickHouse as any other client and writes to neither. `schemas/console.openapi.json` describes the
API.
"""
