"""identifies.v1 to persons.v1: what is known about each person."""
