"""Kafka in, Kafka or ClickHouse out: drops repeats, folds persons, fills tables."""
