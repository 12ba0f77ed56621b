"""Sample data of a shop: what `sequence demo` sends, and what the results of docs/cookbook.md are computed on."""
