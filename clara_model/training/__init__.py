"""Training: one trainer for all stages, one process a rank, on DeepSpeed."""
