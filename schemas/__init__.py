"""Data contracts: items, records, topics, tables and settings. Pure; no client is imported here."""
