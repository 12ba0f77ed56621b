"""What runs inside the container image beyond the `sequence` command: its health check and the one-shot preparation."""
