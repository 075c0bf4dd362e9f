"""Scores and their uncertainty; torch-free."""
