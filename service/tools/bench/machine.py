"""Describes the machine that was measured: its processor, usable cores, and how busy it was."""

from __future__ import annotations

import os
from dataclasses import dataclass

from model.engines.choice import read_processor
from service.infer.device import usable_cores

BUSY_SHARE = 0.5
"""Above this share of the cores in use at the start, the machine counts as busy."""
INSTRUCTION_SETS = {
    "avx2": ("avx2",),
    "avx512": ("avx512f",),
    "vnni": ("avx_vnni", "avx512_vnni"),
    "bf16": ("avx512_bf16",),
    "amx": ("amx_tile",),
}
"""Instruction sets that engines differ by, each with the flags of which one suffices."""


@dataclass(frozen=True, slots=True)
class BenchMachine:
    """What was found at the start."""

    processor: str
    cores: int
    """Cores that this process may use."""
    all_cores: int
    instruction_sets: tuple[str, ...]
    missing: tuple[str, ...]
    """Instruction sets of `INSTRUCTION_SETS` that it lacks."""
    load: float
    """Runnable processes on all cores, mean of a minute."""

    @property
    def line(self) -> str:
        """Description for people, in one line."""
        has = ", ".join(self.instruction_sets) or "none"
        lacks = f", no {', '.join(self.missing)}" if self.missing else ""
        return (
            f"{self.processor}, {self.cores} of {self.all_cores} cores; {has}{lacks}; "
            f"load {self.load:.2f}"
        )

    @property
    def busy(self) -> bool:
        """Is true where other programs ran at the start."""
        return self.load > BUSY_SHARE * self.all_cores

    @property
    def warning(self) -> str:
        """Warning that figures are of a busy machine; empty where it was idle."""
        if not self.busy:
            return ""
        return (
            f"The machine is busy (load {self.load:.2f} on {self.all_cores} cores): "
            "only ratios that are paired in one run hold."
        )


def inspect_machine() -> BenchMachine:
    """Find out about the machine."""
    found = read_processor()
    has = [name for name, flags in INSTRUCTION_SETS.items() if found.flags & set(flags)]
    return BenchMachine(
        processor=found.name,
        cores=usable_cores(),
        all_cores=os.cpu_count() or 1,
        instruction_sets=tuple(has),
        missing=tuple(name for name in INSTRUCTION_SETS if name not in has),
        load=os.getloadavg()[0],
    )
