"""Which device the networks run on, and with how many threads."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from service.errors import BadInput

_CGROUP_2 = Path("/sys/fs/cgroup/cpu.max")
_CGROUP_1 = Path("/sys/fs/cgroup/cpu")


def choose_device(setting: str) -> str:
    """The name of a torch device that is there; `auto` takes a GPU where there is one.

    Raises: BadInput: the setting names none, or one that isn't there.
    """
    if setting == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    name, _, index = setting.partition(":")
    if name not in ("cpu", "cuda") or (index and not (name == "cuda" and index.isdigit())):
        raise BadInput("device", setting, "must be auto, cpu, cuda or cuda:N")
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("device", setting, "there is no GPU that this torch can use")
    if index and int(index) >= torch.cuda.device_count():
        raise BadInput("device", setting, f"there are {torch.cuda.device_count()} GPUs")
    return setting


def choose_threads(setting: int) -> int:
    """The setting, or for 0 the cores that this process may use."""
    return setting or usable_cores()


def usable_cores() -> int:
    """Cores of the process's affinity, or fewer where a container's limit allows fewer."""
    cores = len(os.sched_getaffinity(0))
    limit = container_cores()
    return max(1, cores if limit is None else min(cores, round(limit)))


def container_cores() -> float | None:
    """Cores that the container's limit leaves, parts of one too; None where there is no limit."""
    try:
        if _CGROUP_2.exists():
            quota, period = _CGROUP_2.read_text().split()
        else:
            quota = (_CGROUP_1 / "cpu.cfs_quota_us").read_text().strip()
            period = (_CGROUP_1 / "cpu.cfs_period_us").read_text().strip()
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
