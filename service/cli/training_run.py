"""A run of training on a terminal, or in a log: its progress."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from model import training

LINE_EVERY_S = 30.0
"""Without a terminal, progress is a line this often."""


def show_run(
    console: Console, run: training.Training, checkpoint: Path, stop: threading.Event
) -> None:
    """Train until the end, or until `stop` is set, which saves a checkpoint; shows how it goes."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=run.steps, completed=run.step)
        spoke = -LINE_EVERY_S

        def show(progress: training.Progress) -> None:
            nonlocal spoke
            text = describe(progress)
            bar.update(task, completed=progress.step, description=text)
            last = progress.step == progress.steps
            if not console.is_terminal and (last or time.monotonic() - spoke >= LINE_EVERY_S):
                spoke = time.monotonic()
                console.print(
                    f"{progress.step}/{progress.steps} {text}, {progress.remaining_s:.0f} s left"
                )

        run.run(on_step=show, checkpoint=checkpoint, stop=stop.is_set)


def describe(progress: training.Progress) -> str:
    """Loss parts, and how the queries spread over the items."""
    judged = "" if progress.judgement is None else f", judgement {progress.judgement:.4f}"
    used = sum(share > 0.001 for share in progress.usage)
    return (
        f"epoch {progress.epoch + 1}: loss {progress.total:.4f} (frame {progress.frame:.5f}, "
        f"compact {progress.compact:.2e}, separate {progress.separate:.4f}{judged}), "
        f"{used}/{len(progress.usage)} items used, the most {max(progress.usage):.0%}"
    )
