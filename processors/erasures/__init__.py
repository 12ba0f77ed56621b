"""Erasure of users: removes their rows, and proves that nothing is left."""
