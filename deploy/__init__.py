"""How the pipeline runs and is operated: the `sequence` command, the local stack, embedded servers, containers."""
