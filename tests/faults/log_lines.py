"""Phrases of the product's log that the fault suite counts.

A phrase that the product no longer prints would turn a check into one that never fails, so a unit test looks for each
of them in the product's source.
"""
