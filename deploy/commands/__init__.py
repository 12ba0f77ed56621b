"""The commands of `sequence`, a module for each group: arguments, help and output."""
