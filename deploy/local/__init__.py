"""The local stack: the whole pipeline on one machine, started and supervised by `sequence up`."""
