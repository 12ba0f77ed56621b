"""`identifies.v1` to `persons.v1`: the state of each person."""
