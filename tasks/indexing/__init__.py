"""The index over compressed passages."""
