"""Trains a network on normal footage: windows of clips, three losses, a memory update at each step.

Each epoch is a permutation of the windows that depends only on seed and epoch. A run resumed from a
checkpoint therefore takes the same steps as one that was never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from model.footage.clips import Clip
from model.network import mnad_memory
from model.network.losses import LossParts, LossTerms, LossWeights, judgement_loss
from model.network.network_config import NetConfig, Task
from model.network.unet import MemoryNetwork, build_network
from model.scoring.score_config import NormForm
from model.training.batches_ahead import make_ahead
from model.training.pseudo_anomalies import PseudoConfig
from model.training.warm_start import WarmStart
from model.training.windows import TrainingBatch, WindowConfig, Windows

CHECKPOINT_VERSION = 1
_NOT_A_CHECKPOINT = (
    OSError,
    RuntimeError,
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    EOFError,
    UnpicklingError,
)


class TrainingError(ValueError):
    """The footage, settings or checkpoint don't allow this run."""


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """The settings of a run besides the network's; the defaults are the reference's."""

    epochs: int = 60
    most_steps: int = 0
    """A run that begins with a bundle's weights ends here even if its epochs aren't done; 0 sets no
    limit."""
    batch: int = 4
    learning_rate: float = 2e-4
    warmup: float = 0.0
    """The learning rate rises over this share of all steps, then falls to 0 as a cosine."""
    weights: LossWeights = field(default_factory=LossWeights)
    error_form: NormForm = NormForm.MEAN_SQUARE
    separation_form: NormForm = NormForm.NORM
    """Mean squares of unit vectors are at most 4/C, far below the margin of 1: too flat to use."""
    windows: WindowConfig = field(default_factory=WindowConfig)
    judgement_weight: float = 0.0
    """The weight of the judgement's loss; above 0 exactly if the network judges."""
    seed: int = 0
    bf16: bool | None = None
    """Whether to use autocast; None uses it if the processor computes in bf16."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch", "learning_rate"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)!r}")
        if not 0.0 <= self.warmup < 1.0:
            raise ValueError(f"warmup must be from 0 to below 1, got {self.warmup!r}")
        if self.judgement_weight < 0.0:
            raise ValueError(f"judgement_weight must be 0 or more, got {self.judgement_weight!r}")
        if self.most_steps < 0:
            raise ValueError(f"most_steps must be 0 or more, got {self.most_steps!r}")
        if self.seed < 0:
            raise ValueError(f"seed must be 0 or more, got {self.seed!r}")


@dataclass(frozen=True, slots=True)
class Preset:
    """A network size with the run that suits it."""

    base_width: int
    train: TrainConfig
    patch: int = 1


JUDGEMENT_WEIGHT = 0.1
"""With this weight the judgement's loss ends about as large as the frame's."""


def _make_judging_preset(
    base_width: int, epochs: int, learning_rate: float, patch: int = 1
) -> Preset:
    """Make a preset with crops, and pseudo-anomalies that the network leaves out and marks."""
    return Preset(
        base_width,
        TrainConfig(
            epochs=epochs,
            batch=8,
            learning_rate=learning_rate,
            warmup=0.1,
            windows=WindowConfig(crop=128, pseudo=PseudoConfig()),
            judgement_weight=JUDGEMENT_WEIGHT,
        ),
        patch,
    )


FAST_STEPS = 4000
"""Steps from a bundle's weights: at 0.2 s each, 13 minutes of a core (docs/studies/training.md)."""


def _limit_steps(preset: Preset, most_steps: int) -> Preset:
    return replace(preset, train=replace(preset.train, most_steps=most_steps))


PRESETS = {
    "paper": Preset(64, TrainConfig()),
    "medium": _make_judging_preset(32, 16, 1e-3),
    "small": _make_judging_preset(16, 16, 1e-3),
    "fast": _limit_steps(_make_judging_preset(16, 40, 1e-3, patch=2), FAST_STEPS),
    "tiny": _make_judging_preset(8, 20, 2e-3),
}


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run, reported after each step."""

    epoch: int
    step: int
    """Steps done in all epochs."""
    steps: int
    total: float
    frame: float
    compact: float
    separate: float
    judgement: float | None
    usage: tuple[float, ...]
    """The share of the queries that each item got."""
    learning_rate: float
    elapsed_s: float
    """Time of this run and of those that it resumes."""
    remaining_s: float


def cpu_has_bf16() -> bool:
    """Returns whether the processor multiplies bf16; on others autocast is slower than fp32."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


class Training:
    """A run: network, items, optimiser, schedule, and the number of steps done."""

    def __init__(
        self,
        net: NetConfig,
        config: TrainConfig,
        clips: Sequence[Clip],
        called_normal: Sequence[Clip] = (),
        *,
        start: WarmStart | None = None,
        makes_ahead: bool = False,
    ) -> None:
        """Args:
            called_normal: clips that scored as abnormal, and were marked normal.
            start: the weights to begin with; None begins with random ones.
            makes_ahead: make batches in a thread of their own; the result is the same.

        Raises: TrainingError: the clips don't suffice, or the settings don't fit each other.
        """
        torch.manual_seed(config.seed)
        self.net = net
        self.config = config
        if net.judges != (config.judgement_weight > 0.0):
            raise TrainingError(
                f"a network that judges needs a judgement_weight above 0, and no other takes one: "
                f"got judges {net.judges} and {config.judgement_weight}"
            )
        try:
            self.windows = Windows(clips, net, config.windows, called_normal)
        except ValueError as error:
            raise TrainingError(str(error)) from None
        self.start = start
        self.makes_ahead = makes_ahead
        self.network: MemoryNetwork = build_network(net)
        if start is not None:
            self.network.load_state_dict(dict(start.tensors))
        self.network.channels_last()
        self.memory = self.network.memory
        self.items = (
            self.memory.draw_items(
                net.memory_items, net.memory_channels, torch.Generator().manual_seed(config.seed)
            )
            if start is None
            else start.items.clone()
        )
        self.steps_an_epoch = -(-len(self.windows) // config.batch)
        self.steps = self.steps_an_epoch * config.epochs
        if start is not None and config.most_steps:
            self.steps = min(self.steps, config.most_steps)
        self.step = 0
        self.elapsed_s = 0.0
        learned: list[Tensor] = list(self.network.parameters())
        if not self.memory.adapts:
            learned.append(self.items.requires_grad_())
        self.optimiser = torch.optim.Adam(learned, config.learning_rate, fused=True)
        self.schedule: LRScheduler = self._make_schedule()
        self.uses_bf16 = cpu_has_bf16() if config.bf16 is None else config.bf16

    def _make_schedule(self) -> LRScheduler:
        if self.config.warmup * self.steps > 1.0:  # a shorter rise has no step of its own
            return OneCycleLR(
                self.optimiser,
                self.config.learning_rate,
                total_steps=self.steps,
                pct_start=self.config.warmup,
                cycle_momentum=False,
            )
        return torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, self.steps)

    @property
    def epochs(self) -> int:
        """Return the number of epochs that the run begins."""
        return -(-self.steps // self.steps_an_epoch)

    @property
    def is_done(self) -> bool:
        """Returns whether all steps are done."""
        return self.step >= self.steps

    def run(
        self,
        *,
        on_step: Callable[[Progress], None] | None = None,
        checkpoint: Path | None = None,
        checkpoint_every_s: float = 120.0,
        stop: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the remaining steps, or stop as soon as `stop` returns True.

        Raises: TrainingError: the loss isn't finite any more.
        """
        self.network.train()
        last = saved = time.monotonic()
        first_step, first_elapsed = self.step, self.elapsed_s
        while not self.is_done and not stop():
            batches = self._iterate_batches()
            for batch in make_ahead(batches) if self.makes_ahead else batches:
                learning_rate = float(self.optimiser.param_groups[0]["lr"])
                parts, used = self._take_step(batch)
                now = time.monotonic()
                self.elapsed_s += now - last
                last = now
                if on_step is not None:
                    pace = (self.elapsed_s - first_elapsed) / (self.step - first_step)
                    left = (self.steps - self.step) * pace
                    on_step(self._make_progress(parts, used, learning_rate, left))
                if checkpoint is not None and now - saved > checkpoint_every_s:
                    self.save(checkpoint)
                    saved = now
                if stop():
                    break
        if checkpoint is not None:
            self.save(checkpoint)

    def _iterate_batches(self) -> Iterator[TrainingBatch]:
        """Yield the remaining batches of the present epoch, up to the run's last step."""
        epoch, done = divmod(self.step, self.steps_an_epoch)
        end = (self.steps - epoch * self.steps_an_epoch) * self.config.batch
        order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self.windows))
        for start in range(done * self.config.batch, min(end, len(order)), self.config.batch):
            random = np.random.default_rng((self.config.seed, epoch, start))
            yield self.windows.make_batch(order[start : start + self.config.batch].tolist(), random)

    def _take_step(self, batch: TrainingBatch) -> tuple[LossParts, Tensor]:
        config = self.config
        with torch.autocast("cpu", torch.bfloat16, enabled=self.uses_bf16):
            features, skips = self.network.encode(batch.inputs)
        # One memory for the whole batch: its queries are those of one long frame.
        queries = features.flatten(0, 1)[None]  # (1, B*K, C)
        recalled = self.memory.read(queries, self.items).view_as(features)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.uses_bf16):
            decoded = self.network.decode(features, recalled, skips).float()
        parts = self.memory.compute_loss(
            decoded[:, : self.net.channels],
            batch.targets,
            queries,
            self.items,
            LossTerms(config.weights, config.error_form, config.separation_form),
        )
        if self.net.judges:
            judgement = judgement_loss(decoded[:, self.net.channels :], batch.abnormal)
            parts = replace(
                parts,
                total=parts.total + config.judgement_weight * judgement,
                judgement=judgement,
            )
        if not bool(parts.total.isfinite()):
            loss = float(parts.total.detach())
            raise TrainingError(f"the loss is {loss} at step {self.step}: lower the learning rate")
        self.optimiser.zero_grad()
        torch.autograd.backward(parts.total)
        self.optimiser.step()
        self.schedule.step()
        with torch.no_grad():
            used = self.memory.measure_usage(queries, self.items)[0]
            if self.memory.adapts:
                self.items = mnad_memory.update(queries.detach(), self.items)
        self.step += 1
        return parts, used

    def _make_progress(
        self, parts: LossParts, used: Tensor, learning_rate: float, left: float
    ) -> Progress:
        return Progress(
            epoch=(self.step - 1) // self.steps_an_epoch,
            step=self.step,
            steps=self.steps,
            total=float(parts.total.detach()),
            frame=float(parts.frame.detach()),
            compact=float(parts.compact.detach()),
            separate=float(parts.separate.detach()),
            judgement=None if parts.judgement is None else float(parts.judgement.detach()),
            usage=tuple(used.tolist()),
            learning_rate=learning_rate,
            elapsed_s=self.elapsed_s,
            remaining_s=left,
        )

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(path.name + ".partial")
        torch.save(
            {
                "version": CHECKPOINT_VERSION,
                "identity": self._identity(),
                "network": self.network.state_dict(),
                "items": self.items.detach(),
                "optimiser": self.optimiser.state_dict(),
                "schedule": self.schedule.state_dict(),
                "step": self.step,
                "elapsed_s": self.elapsed_s,
            },
            partial,
        )
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint of the same settings and footage; nothing in it is executed.

        Raises: TrainingError: it can't be read, or belongs to another run.
        """
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            if saved["version"] != CHECKPOINT_VERSION or saved["identity"] != self._identity():
                raise TrainingError(f"{path}: a checkpoint of other settings or other footage")
            self.network.load_state_dict(saved["network"])
            self.optimiser.load_state_dict(saved["optimiser"])
            self.schedule.load_state_dict(saved["schedule"])
            with torch.no_grad():
                self.items.copy_(saved["items"])
            self.step = int(saved["step"])
            self.elapsed_s = float(saved["elapsed_s"])
        except TrainingError:
            raise
        except _NOT_A_CHECKPOINT as error:
            raise TrainingError(f"{path}: not a checkpoint: {type(error).__name__}") from None

    def _identity(self) -> str:
        """Describe what two runs must share for one to continue the other."""
        start = self.start.digest if self.start else None
        return repr((asdict(self.net), asdict(self.config), len(self.windows), start))


def default_weights(task: Task) -> LossWeights:
    """Return the reference implementation's λ_c and λ_s for a task."""
    return LossWeights() if task is Task.PREDICTION else LossWeights(compact=0.01, separate=0.01)
