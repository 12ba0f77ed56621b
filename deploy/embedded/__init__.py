"""Servers that run from Python packages: Apache Kafka, and the ClickHouse engine behind an HTTP server."""
