"""Around the pipeline: logs, the state of steps, checks with their remedies, and cleaning up."""
