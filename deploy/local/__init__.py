"""The whole pipeline on one machine: broker, engine and a supervisor."""
