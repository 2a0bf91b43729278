"""The network's part of a batch: engine, gate, memory updates, and one result per camera."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.bundles.bundle import Bundle
from model.detect.camera_turn import CameraTurn, list_reads, stack_frames
from model.detect.observation import Observation
from model.engines.engine import Engine, EngineOutput
from model.engines.network_passes import COLUMNS
from model.engines.required_measures import RequiredMeasures
from model.engines.zone_measures import apply_zones, select_pixels
from model.network import memory_updates as updates
from model.network.memories import build_memory
from model.network.update_rules import Learning, MemoryCounts, count_frame
from model.scoring.measures import Measures
from model.scoring.zones import find_region
from model.stages import Stage, StageTimes


class BatchInference:
    """Runs the network for a batch of turns, lets memories learn, and writes each turn's result."""

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        required: RequiredMeasures,
        device: torch.device,
        times: StageTimes,
    ) -> None:
        self._engine = engine
        self._required = required
        self._times = times
        self._keys = tuple(step.key for step in required.errors)
        self._gamma = bundle.calibration.gamma
        normal = bundle.calibration.normal
        usual = normal.errors.get(required.heat.key) if normal else None
        self._heat_scale = np.float32(1.0 / max(usual.high, 1e-6) if usual else 1.0)
        self._adapts = build_memory(bundle.config).adapts
        self.default_threshold = bundle.calibration.thresholds.get(bundle.score.name)
        self.trained_items = bundle.items[0].to(device)
        """(M, C), as training left them."""

    def run(self, turns: Sequence[CameraTurn]) -> None:
        """Predict and measure each turn's frame, update memories, and set each turn's result.

        All cameras change or, when this raises, none. A turn that isn't scored teaches nothing.

        Raises: ValueError: a measure isn't finite.
        """
        items = self._stack_items(turns)
        frames, watched = stack_frames(turns), [turn.options.watched for turn in turns]
        parts = [turn.part for turn in turns]
        with self._times.spend_on(Stage.NETWORK):
            output = self._engine.run(
                frames,
                items,
                list_reads(turns),
                select_pixels(watched),
                parts if any(parts) else None,
            )
        self._times.add(Stage.NETWORK, output.threads_cpu_s)
        output = apply_zones(output, frames, watched, self._required)
        self._set_measures(turns, output)
        learns = [self._adapts and turn.is_below_gamma and turn.is_scored for turn in turns]
        rules = [turn.options.update for turn in turns]
        learned = updates.learn_items(
            output.queries, items, self.trained_items[None], rules, learns
        )
        # Nothing raises below this line: all cameras change, or none does.
        for turn, new_items in zip(turns, learned, strict=True):
            self._settle_items(turn, new_items)
        drifts_deg = self._measure_drifts(turns)
        for index, turn in enumerate(turns):
            turn.result = self._make_result(
                turn, output.heat[index], learned[index] is not None, drifts_deg[index]
            )

    def predict(self, turn: CameraTurn) -> Tensor:
        """Predict the turn's frame alone: (1, C, H, W), fp32, about [0, 1], on the CPU."""
        turns = [turn]
        return self._engine.predict(
            stack_frames(turns), self._stack_items(turns), list_reads(turns)
        )

    def _stack_items(self, turns: Sequence[CameraTurn]) -> Tensor:
        """Stack what each camera's queries are compared with: (B, M, C), or (1, M, C) for all."""
        if not self._adapts:
            return self.trained_items[None]
        return torch.stack(
            [
                self.trained_items
                if turn.options.update.learning is Learning.TRAINED
                else turn.camera.items
                for turn in turns
            ]
        )

    def _set_measures(self, turns: Sequence[CameraTurn], output: EngineOutput) -> None:
        """Hand each turn its measures. Raises: ValueError: one isn't finite."""
        columns = output.columns
        if not np.isfinite(columns).all():
            names = (*COLUMNS, *self._keys)
            bad = names[int(np.argwhere(~np.isfinite(columns))[0][1])]
            raise ValueError(
                f"{bad} is not finite: the frames, queries or items hold NaN or infinity"
            )
        for turn, row in zip(turns, columns.tolist(), strict=True):
            errors = dict(zip(self._keys, row[3:], strict=True))
            turn.measures = Measures(row[0], row[1], row[2], errors)
            gamma = self._gamma if turn.options.gamma is None else turn.options.gamma
            turn.is_below_gamma = turn.measures.gate_error < gamma

    def _settle_items(self, turn: CameraTurn, learned: Tensor | None) -> None:
        """Give a camera the items of its next frame."""
        camera, rule = turn.camera, turn.options.update
        if rule.learning is not Learning.UPDATED:
            camera.counts, rolls_back = MemoryCounts(), rule.learning is Learning.TRAINED
        else:
            camera.counts, rolls_back = count_frame(
                camera.counts, rule, is_below=turn.is_below_gamma
            )
        if rolls_back:
            camera.items = self.trained_items
        elif learned is not None:
            camera.items = learned

    def _measure_drifts(self, turns: Sequence[CameraTurn]) -> list[float]:
        """Measure how far each camera's farthest item is from the trained one, in degrees."""
        if not self._adapts:
            return [0.0] * len(turns)
        items = torch.stack([turn.camera.items for turn in turns])  # (B, M, C)
        drifts: list[float] = (
            updates.measure_angles_deg(items, self.trained_items).amax(dim=1).tolist()
        )
        return drifts

    def _make_result(
        self, turn: CameraTurn, cells: NDArray[np.float32], updated: bool, drift_deg: float
    ) -> Observation:
        measures, watched, heat_step = turn.measures, turn.options.watched, self._required.heat
        score, threshold = (
            turn.compute_score(measures, self.default_threshold) if turn.is_scored else (None, None)
        )
        return Observation(
            withheld=turn.withheld,
            psnr=measures.psnr,
            distance=measures.distance,
            gate_error=measures.gate_error,
            score=score,
            threshold=threshold,
            memory_updated=updated,
            memory_drift_deg=drift_deg,
            heat=cells * self._heat_scale,
            region=find_region(cells) if watched is None else watched.find_region(cells, heat_step),
            measures=measures,
            computed=1.0 if turn.part is None else turn.part.share,
        )
