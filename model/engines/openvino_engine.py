"""OpenVINO as the engine: frames of a batch run side by side, one core each.

A batch isn't computed as one: on a processor that saves nothing, and a core that has its own frame
waits for no other.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from queue import SimpleQueue
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.engines.engine import EngineError, EngineOutput, FrameStack, Program, Shown
from model.engines.forms import example
from model.engines.names import EngineName

if TYPE_CHECKING:
    from openvino import CompiledModel, Model

PRECISIONS = {
    EngineName.OPENVINO_FP32: "f32",
    EngineName.OPENVINO_BF16: "bf16",
    EngineName.OPENVINO_INT8: "f32",
}
"""Of what isn't quantised."""


def runtime() -> ModuleType:
    """The package, without its telemetry.

    On being imported it would tell its maker, unasked. Raises: EngineError: it isn't installed.
    """
    # An empty module in its place: OpenVINO then takes its own stub, which sends nothing.
    sys.modules.setdefault("openvino_telemetry", ModuleType("openvino_telemetry"))
    try:
        return import_module("openvino")
    except ImportError as error:
        raise EngineError(f"OpenVINO can't be loaded: {error}") from None


class _Lane:
    """What one frame needs, from its pixels to its measures, in memory of its own."""

    def __init__(self, network: CompiledModel, measuring: CompiledModel) -> None:
        self._network = network.create_infer_request()
        self._measuring = measuring.create_infer_request()
        self.frames, self.items, self.reads = (
            self._network.get_input_tensor(index).data for index in range(3)
        )
        outputs = [self._network.get_output_tensor(i) for i in range(len(network.outputs))]
        self.predicted, self.queries, *judged = (output.data for output in outputs)
        self.judged = judged[0] if judged else None
        # What the network writes is read where it lies.
        given = (
            *outputs[:2],
            self._network.get_input_tensor(1),
            self._network.get_input_tensor(0),
            *outputs[2:],
        )
        for index, tensor in enumerate(given):
            self._measuring.set_input_tensor(index, tensor)
        self.columns, self.heat = (self._measuring.get_output_tensor(i).data for i in range(2))

    def predict(self) -> None:
        """From `frames`, `items` and `reads` to `predicted` and `queries`."""
        self._network.infer()

    def measure(self) -> None:
        """And on to `columns` and `heat`."""
        self._network.infer()
        self._measuring.infer()

    def shown(self, *, wanted: bool) -> Arrays:
        """A copy of what the network gave by pixel, of one frame or of none."""
        arrays = (self.predicted,) if self.judged is None else (self.predicted, self.judged)
        return tuple(array[: int(wanted)].copy() for array in arrays)


Arrays = tuple[NDArray[np.float32], ...]
Work = Callable[[_Lane, int], Arrays]
"""What is made of one camera of a batch, of which it is told which."""


class OpenVinoEngine:
    """Compiled for one frame at a time, with as many lanes as threads."""

    def __init__(self, program: Program, name: EngineName, items: Tensor, threads: int) -> None:
        """Args: items: (1, M, channels), whose shape the compiled network takes."""
        self._name = name
        core = runtime().Core()
        inputs = tuple(example(program.config, items))
        network = _converted(program.network, inputs)
        with torch.inference_mode():
            predicted, queries, *judged = program.network(*inputs)
        measuring = _converted(
            program.measuring, (predicted, queries, inputs[1], inputs[0], *judged)
        )
        settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # the kernel knows better which core is free
        }
        compiled: tuple[CompiledModel, CompiledModel] = (
            core.compile_model(
                network, "CPU", {**settings, "INFERENCE_PRECISION_HINT": PRECISIONS[name]}
            ),
            core.compile_model(measuring, "CPU", {**settings, "INFERENCE_PRECISION_HINT": "f32"}),
        )
        self._lanes: SimpleQueue[_Lane] = SimpleQueue()
        for _ in range(threads):
            self._lanes.put(_Lane(*compiled))
        self._pool = ThreadPoolExecutor(threads, "openvino") if threads > 1 else None

    @property
    def name(self) -> EngineName:
        return self._name

    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        shows: NDArray[np.bool_] | None = None,
    ) -> EngineOutput:
        def measured(lane: _Lane, camera: int) -> Arrays:
            lane.measure()
            # Copies: the lane's memory is written over by the next frame.
            copies = lane.columns.copy(), lane.heat.copy(), lane.queries.copy()
            return copies if shows is None else copies + lane.shown(wanted=bool(shows[camera]))

        columns, heat, queries, *shown = self._each(measured, frames, items, reads)
        return EngineOutput(columns, heat, torch.from_numpy(queries), _shown(shown))

    def predict(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> Tensor:
        def predicted(lane: _Lane, _: int) -> Arrays:
            lane.predict()
            return (lane.predicted.copy(),)

        (pictures,) = self._each(predicted, frames, items, reads)
        return torch.from_numpy(pictures)

    def _each(
        self, work: Work, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]
    ) -> list[NDArray[np.float32]]:
        """What `work` gives of each camera, one below the other."""
        places = items.expand(len(frames), -1, -1).numpy()

        def one(camera: int) -> Arrays:
            lane = self._lanes.get()
            try:
                lane.frames[0] = frames[camera]
                lane.items[0] = places[camera]
                lane.reads[0] = reads[camera]
                return work(lane, camera)
            finally:
                self._lanes.put(lane)

        cameras = range(len(frames))
        if self._pool is None or len(frames) == 1:
            done = [one(camera) for camera in cameras]
        else:
            done = list(self._pool.map(one, cameras))
        return [np.concatenate(each) for each in zip(*done, strict=True)]


def _shown(arrays: list[NDArray[np.float32]]) -> Shown | None:
    if not arrays:
        return None
    predicted, *judged = map(torch.from_numpy, arrays)
    return Shown(predicted, judged[0] if judged else None)


def _converted(module: nn.Module, inputs: tuple[Tensor, ...]) -> Model:
    """The module for inputs of just these shapes."""
    with warnings.catch_warnings():
        # Checks of values are traced away; shapes are fixed on purpose.
        warnings.simplefilter("ignore")
        try:
            model = runtime().convert_model(module, example_input=inputs)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0][:200]
            raise EngineError(f"OpenVINO can't convert the network: {reason}") from None
    model.reshape({index: list(each.shape) for index, each in enumerate(inputs)})
    return model
