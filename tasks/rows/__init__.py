"""Training rows, benchmark rows, their split and their checks."""
