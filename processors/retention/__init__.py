"""Retention: removes rows that have been kept as long as their project says."""
