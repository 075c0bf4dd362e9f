"""Prefect flows, one a step and one for all, and the command line over them."""
