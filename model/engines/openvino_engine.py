"""OpenVINO as the engine: frames of a batch run at the same time, one core each.

A batch isn't computed as one: on a processor that saves nothing, and a core that has its own frame
waits for no other.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from queue import SimpleQueue
from threading import Lock
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from model.engines.crops import Crop, Crops
from model.engines.engine import EngineError, EngineOutput, EngineProgram, FrameStack, PixelOutputs
from model.engines.kept_outputs import PicturePart
from model.engines.names import EngineName
from model.engines.network_passes import make_example_inputs
from model.stages import ThreadClock

if TYPE_CHECKING:
    from openvino import CompiledModel, Model
    from openvino import Tensor as OpenVinoTensor

PRECISIONS = {
    EngineName.OPENVINO_FP32: "f32",
    EngineName.OPENVINO_BF16: "bf16",
    EngineName.OPENVINO_INT8: "f32",
}
"""The precision of what isn't quantised."""


def import_openvino() -> ModuleType:
    """Import the package without its telemetry, which would report the import to its maker.

    Raises: EngineError: it isn't installed.
    """
    # An empty module in its place: OpenVINO then takes its own stub, which sends nothing.
    sys.modules.setdefault("openvino_telemetry", ModuleType("openvino_telemetry"))
    try:
        return import_module("openvino")
    except ImportError as error:
        raise EngineError(f"OpenVINO can't be loaded: {error}") from None


class _Network:
    """A compiled network for pictures of one size, in memory of its own."""

    def __init__(self, compiled: CompiledModel) -> None:
        self._request = compiled.create_infer_request()
        self.inputs = [self._request.get_input_tensor(index) for index in range(3)]
        self.outputs = [self._request.get_output_tensor(i) for i in range(len(compiled.outputs))]
        self.frames, self.items, self.reads = (tensor.data for tensor in self.inputs)
        self.predicted, self.queries, *judged = (tensor.data for tensor in self.outputs)
        self.judged = judged[0] if judged else None

    def infer(self) -> None:
        """Compute `predicted`, `queries` and `judged` from `frames`, `items` and `reads`."""
        self._request.infer()


class _Lane:
    """Takes one frame from its pixels to its measures, in memory of its own."""

    def __init__(
        self, network: CompiledModel, measuring: CompiledModel, compile_part: CompilePart
    ) -> None:
        """Args: compile_part: gives the network for a part of so many cells, from any thread."""
        self.whole = _Network(network)
        self._compile_part = compile_part
        self._parts: dict[tuple[int, int], _Network] = {}
        self._measuring = measuring.create_infer_request()
        self._measuring.set_input_tensor(2, self.whole.inputs[1])
        self._measuring.set_input_tensor(3, self.whole.inputs[0])
        self.columns, self.heat = (self._measuring.get_output_tensor(i).data for i in range(2))

    def measure(self, part: PicturePart | None) -> Arrays:
        """Fill `columns` and `heat` from the inputs of `whole`.

        Returns: the outputs that were measured: kept ones, or ones that the lane's next frame
        overwrites.
        """
        if part is None or part.crop is None:
            self.whole.infer()
            # What the network writes is read where it lies.
            self._measure(self.whole.outputs)
            if part is not None:
                part.kept.replace(self.whole.predicted, self.whole.queries, self.whole.judged)
            return _list_outputs(self.whole)
        self._compute(part, part.crop)
        shared = import_openvino().Tensor
        self._measure([shared(array, shared_memory=True) for array in part.kept.arrays])
        return part.kept.arrays

    def _measure(self, outputs: Sequence[OpenVinoTensor]) -> None:
        for index, tensor in zip((0, 1, 4), outputs, strict=False):
            self._measuring.set_input_tensor(index, tensor)
        self._measuring.infer()

    def _compute(self, part: PicturePart, crop: Crop) -> None:
        """Run the network on a part of the frames, and keep what it gives."""
        network = self._parts.get(crop.shape)
        if network is None:
            network = self._parts[crop.shape] = _Network(self._compile_part(crop.shape))
        network.frames[:] = part.cut(self.whole.frames)
        network.items[:] = self.whole.items
        network.reads[:] = self.whole.reads
        network.infer()
        part.kept.paste(crop, network.predicted, network.queries, network.judged)


def _list_outputs(network: _Network) -> Arrays:
    given = network.predicted, network.queries
    return given if network.judged is None else (*given, network.judged)


Arrays = tuple[NDArray[np.float32], ...]
CompilePart = Callable[[tuple[int, int]], "CompiledModel"]
LaneWork = Callable[[_Lane, int], Arrays]
"""Computes the arrays of one camera of a batch, given by its index."""


class OpenVinoEngine:
    """Runs a network compiled for one frame at a time, with as many lanes as threads."""

    def __init__(
        self, program: EngineProgram, name: EngineName, items: Tensor, threads: int
    ) -> None:
        """Args: items: (1, M, channels), whose shape the compiled network takes."""
        self._name = name
        self._config, self._items = program.config, items[:1]
        self._core = import_openvino().Core()
        self._settings = {
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": threads,
            "ENABLE_CPU_PINNING": False,  # the kernel knows better which core is free
        }
        inputs = tuple(make_example_inputs(program.config, items))
        with torch.inference_mode():
            predicted, queries, *judged = program.network(*inputs)
        measured = (predicted, queries, inputs[1], inputs[0], *judged)
        self._network = _convert(program.network, inputs)
        network = self._compile(self._network, inputs, PRECISIONS[name])
        measuring = self._compile(_convert(program.measuring, measured), measured, "f32")
        self._crops = Crops(program.config)
        self._parts: dict[tuple[int, int], CompiledModel] = {}
        self._parts_lock = Lock()
        self._lanes: SimpleQueue[_Lane] = SimpleQueue()
        for _ in range(threads):
            self._lanes.put(_Lane(network, measuring, self._compile_part))
        self._clocks: list[ThreadClock] = []
        self._pool = (
            ThreadPoolExecutor(
                threads, "openvino", initializer=lambda: self._clocks.append(ThreadClock())
            )
            if threads > 1
            else None
        )

    def _compile(
        self, converted: Model, inputs: tuple[Tensor, ...], precision: str
    ) -> CompiledModel:
        """Compile a converted module for inputs of just these shapes."""
        model = converted.clone()
        model.reshape({index: list(each.shape) for index, each in enumerate(inputs)})
        settings = {**self._settings, "INFERENCE_PRECISION_HINT": precision}
        compiled: CompiledModel = self._core.compile_model(model, "CPU", settings)
        return compiled

    def _compile_part(self, shape: tuple[int, int]) -> CompiledModel:
        """Compile the network for a part of so many cells, once for all lanes."""
        with self._parts_lock:
            if shape not in self._parts:
                height, width = (cells * self._crops.cell for cells in shape)
                config = replace(self._config, height=height, width=width)
                inputs = tuple(make_example_inputs(config, self._items))
                self._parts[shape] = self._compile(self._network, inputs, PRECISIONS[self._name])
            return self._parts[shape]

    @property
    def name(self) -> EngineName:
        return self._name

    @property
    def batches(self) -> int:
        # While one is prepared or scored, the other one's frames keep the lanes at work.
        return 1 if self._pool is None else 2

    @property
    def computes_parts(self) -> bool:
        return True

    def prepare_parts(self) -> None:
        for shape in self._crops.shapes:
            self._compile_part(shape)

    def run(
        self,
        frames: FrameStack,
        items: Tensor,
        reads: NDArray[np.bool_],
        with_pixels: NDArray[np.bool_] | None = None,
        parts: Sequence[PicturePart | None] | None = None,
    ) -> EngineOutput:
        def measure(lane: _Lane, camera: int) -> Arrays:
            predicted, queries, *judged = lane.measure(parts[camera] if parts else None)
            # Copies: the lane's memory is written over by the next frame.
            copies = lane.columns.copy(), lane.heat.copy(), queries.copy()
            if with_pixels is None:
                return copies
            count = int(with_pixels[camera])
            return copies + tuple(array[:count].copy() for array in (predicted, *judged))

        began_s = self._sum_cpu_s()
        columns, heat, queries, *pixels = self._run_each(measure, frames, items, reads)
        return EngineOutput(
            columns,
            heat,
            torch.from_numpy(queries),
            _join_pixels(pixels),
            threads_cpu_s=self._sum_cpu_s() - began_s,
        )

    def predict(self, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]) -> Tensor:
        def predict_one(lane: _Lane, _: int) -> Arrays:
            lane.whole.infer()
            return (lane.whole.predicted.copy(),)

        (pictures,) = self._run_each(predict_one, frames, items, reads)
        return torch.from_numpy(pictures)

    def _sum_cpu_s(self) -> float:
        """Sum the CPU seconds that the pool's threads have spent so far."""
        return sum(clock.seconds for clock in tuple(self._clocks))

    def _run_each(
        self, work: LaneWork, frames: FrameStack, items: Tensor, reads: NDArray[np.bool_]
    ) -> list[NDArray[np.float32]]:
        """Do `work` for each camera, and concatenate the results."""
        places = items.expand(len(frames), -1, -1).numpy()

        def run_one(camera: int) -> Arrays:
            lane = self._lanes.get()
            try:
                lane.whole.frames[0] = frames[camera]
                lane.whole.items[0] = places[camera]
                lane.whole.reads[0] = reads[camera]
                return work(lane, camera)
            finally:
                self._lanes.put(lane)

        cameras = range(len(frames))
        if self._pool is None or len(frames) == 1:
            done = [run_one(camera) for camera in cameras]
        else:
            done = list(self._pool.map(run_one, cameras))
        return [np.concatenate(each) for each in zip(*done, strict=True)]


def _join_pixels(arrays: list[NDArray[np.float32]]) -> PixelOutputs | None:
    if not arrays:
        return None
    predicted, *judged = map(torch.from_numpy, arrays)
    return PixelOutputs(predicted, judged[0] if judged else None)


_TRACING = Lock()
"""PyTorch traces one module at a time."""


def _convert(module: nn.Module, inputs: tuple[Tensor, ...]) -> Model:
    """Convert the module, for inputs of any shape that these are examples of."""
    with _TRACING, warnings.catch_warnings():
        # Checks of values are traced away.
        warnings.simplefilter("ignore")
        try:
            model: Model = import_openvino().convert_model(module, example_input=inputs)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0][:200]
            raise EngineError(f"OpenVINO can't convert the network: {reason}") from None
    return model
