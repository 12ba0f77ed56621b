"""Modules that run only in the container image: the health check, and the preparation of topics and tables."""
