"""What people would run instead, written as they would write it: not ours, and used by the benchmark alone."""
