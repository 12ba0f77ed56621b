"""Writes accepted items to Kafka, in batches shared by all requests."""
