"""Prints the progress of a training run on a terminal or in a log."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from model.training import trainer as training

LINE_EVERY_S = 30.0
"""Time between lines of progress where there is no terminal."""


def show_run(
    console: Console, run: training.Training, checkpoint: Path, stop: threading.Event
) -> None:
    """Train to the end, or until `stop` is set, which saves a checkpoint; prints progress."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("training", total=run.steps, completed=run.step)
        printed_s = -LINE_EVERY_S

        def show(progress: training.Progress) -> None:
            nonlocal printed_s
            text = describe(progress)
            bar.update(task, completed=progress.step, description=text)
            last = progress.step == progress.steps
            if not console.is_terminal and (last or time.monotonic() - printed_s >= LINE_EVERY_S):
                printed_s = time.monotonic()
                console.print(
                    f"{progress.step}/{progress.steps} {text}, {progress.remaining_s:.0f} s left"
                )

        run.run(on_step=show, checkpoint=checkpoint, stop=stop.is_set)


def describe(progress: training.Progress) -> str:
    """Describe the parts of the loss, and how the queries spread over the items."""
    judged = "" if progress.judgement is None else f", judgement {progress.judgement:.4f}"
    used = sum(share > 0.001 for share in progress.usage)
    return (
        f"epoch {progress.epoch + 1}: loss {progress.total:.4f} (frame {progress.frame:.5f}, "
        f"compact {progress.compact:.2e}, separate {progress.separate:.4f}{judged}), "
        f"{used}/{len(progress.usage)} items used, the most {max(progress.usage):.0%}"
    )
