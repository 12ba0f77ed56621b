"""Publishes records to Kafka, in batches shared by all requests."""
