"""Benchmarks: the throughput and latency of each stage beside its alternatives, run interleaved on one machine.

`make bench` runs them. A shared machine changes its speed by half within minutes, so the candidates of a comparison
take turns, and only ratios within one run are meaningful. Kafka and ClickHouse are the servers of the local stack.
"""
