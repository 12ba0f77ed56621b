"""Runs stages on Faust, in batches. The only package that depends on the inside of Faust and aiokafka."""
