"""Where a result was made: the hardware, without names of machines or paths."""

from __future__ import annotations

import os
import platform

import torch


def hardware() -> dict[str, str | int]:
    """Return processor, cores, memory in GiB and accelerator."""
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "accelerator": accelerator,
    }
    if hasattr(os, "sysconf"):
        found["memory_gib"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return found


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
