"""Repairs of form: a value whose meaning is clear is kept in the form that is stored, and the sender is warned.

Every rule is pure. It takes JSON text and returns the value to store, with the warnings that name what was changed.
`gateway.ingest.fields` applies the rules, and rejects what has no clear meaning.
"""
