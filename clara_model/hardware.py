"""What this machine computes on."""

from __future__ import annotations


def describe_accelerator() -> str | None:
    """Name and free memory of the CUDA GPU, or None where there is none."""
    import torch

    if not torch.cuda.is_available():
        return None
    free, total = torch.cuda.mem_get_info()
    return f"{torch.cuda.get_device_name()}, {free >> 30} of {total >> 30} GiB free"
