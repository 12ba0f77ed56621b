"""Stages from topic to topic or ClickHouse: dedupe, fold of persons, sink."""
