"""Faust made slice-wise. The only place that knows Faust's inside."""
