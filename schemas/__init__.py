"""What the data looks like at each boundary. No I/O, and no client is imported here."""
