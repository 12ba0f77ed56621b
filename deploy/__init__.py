"""How it runs: the `sequence` command, the embedded stack, containers."""
