"""Typed views: a database for each project, with a view for each event and a typed column for each property."""
