"""Turns a request body into items: parsing, repair and validation, without I/O."""
