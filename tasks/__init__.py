"""One folder per step: plain functions, and one `task.py` with the Prefect skin."""
