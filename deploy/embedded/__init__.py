"""Servers that come from package registries: Apache Kafka, and the engine of ClickHouse behind an HTTP server."""
