"""The machine that figures are of: its processor, its usable cores, and what else it is doing."""

from __future__ import annotations

import os
from dataclasses import dataclass

from model.engines.choice import processor
from service.infer.device import usable_cores

BUSY_SHARE = 0.5
"""Of the cores in use before anything is measured: above it the figures are of a busy machine."""
INSTRUCTION_SETS = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "vnni": ("avx_vnni", "avx512_vnni"),
    "bf16": ("avx512_bf16",),
    "amx": ("amx_tile",),
}
"""Those that engines differ by, each with the flags of which one is enough."""


@dataclass(frozen=True, slots=True)
class Machine:
    """As found at the start."""

    processor: str
    cores: int
    """That this process may use."""
    all_cores: int
    instruction_sets: tuple[str, ...]
    missing: tuple[str, ...]
    """Of the instruction sets that matter, those that it lacks."""
    load: float
    """Runnable processes on all cores, mean of a minute."""

    @property
    def line(self) -> str:
        """For people."""
        has = ", ".join(self.instruction_sets) or "none"
        lacks = f", no {', '.join(self.missing)}" if self.missing else ""
        return (
            f"{self.processor}, {self.cores} of {self.all_cores} cores; {has}{lacks}; "
            f"load {self.load:.2f}"
        )

    @property
    def busy(self) -> bool:
        """Whether figures are taken beside other work."""
        return self.load > BUSY_SHARE * self.all_cores

    @property
    def warning(self) -> str:
        """What is to be thought of the figures; empty where the machine was idle."""
        if not self.busy:
            return ""
        return (
            f"The machine is busy (load {self.load:.2f} on {self.all_cores} cores): "
            "only ratios that are paired in one run hold."
        )


def this_machine() -> Machine:
    """Look at it now."""
    found = processor()
    has = [name for name, flags in INSTRUCTION_SETS.items() if found.flags & set(flags)]
    return Machine(
        processor=found.name,
        cores=usable_cores(),
        all_cores=os.cpu_count() or 1,
        instruction_sets=tuple(has),
        missing=tuple(name for name in INSTRUCTION_SETS if name not in has),
        load=os.getloadavg()[0],
    )
