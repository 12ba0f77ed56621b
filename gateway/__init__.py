"""HTTP in, Kafka out: authenticates, checks each item and publishes it."""
