"""Repairs of form: a value whose meaning is clear is kept in the form that is stored, and the sender is warned.

Every rule is pure. It takes the JSON text of one field and returns the value to store with the warnings that name what
was changed. What has no clear meaning is a `ValidationError`, so that the item is rejected and kept on `rejected.v1`.
"""
