"""Passages compressed once, for answering."""
