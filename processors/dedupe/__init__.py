"""`items.v1` to `events.v1`: each messageId once within the dedupe window."""
