"""The bundles at work in a worker: each loaded once, in the background, for all its cameras."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import BundleError, find_bundle, read_document
from model.detect.detector import Detector
from model.engines.choice import choose_engine
from model.engines.engine import EngineError
from model.engines.names import EngineName
from model.engines.required_measures import find_required_measures
from model.stages import StageTimes
from service.settings import AUTO
from service.timers import Clock, Deadline

log = structlog.stdlib.get_logger(__name__)

RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle, ready to infer."""

    name: str
    weights: str
    """Checksum, which distinguishes bundles of the same name."""
    detector: Detector
    key: str
    """Stands for all of the bundle, with its calibration: only what has the same goes together."""


@dataclass(slots=True)
class _PoolEntry:
    future: Future[LoadedModel]
    retry: Deadline
    """From then on a failed load may be tried again."""


class ModelPool:
    """Bundles by name. For one thread; loading happens in another."""

    def __init__(
        self,
        folders: Sequence[Path],
        device: str,
        *,
        engine: str = AUTO,
        threads: int = 1,
        clock: Clock = time.monotonic,
        times: StageTimes | None = None,
    ) -> None:
        """Args: engine: a name, or `auto`: the fastest here. threads: cores for a batch.
        times: where detectors count their CPU time."""
        self._folders = folders
        self._device = device
        self._engine = engine
        self._threads = threads
        self._clock = clock
        self._times = times
        self._entries: dict[str, _PoolEntry] = {}
        self._loader = ThreadPoolExecutor(1, "models")

    def get(self, name: str) -> LoadedModel | None:
        """Return the model, or None while it is loading. Raises: BundleError: it can't be loaded.

        What failed is tried again after half a minute, or after `forget_failure`.
        """
        entry = self._entries.get(name)
        if entry is None or (_has_failed(entry) and entry.retry.is_over):
            entry = self._begin_loading(name)
            self._entries[name] = entry
        return entry.future.result() if entry.future.done() else None

    def can_give(self, name: str) -> bool:
        """Return whether `get` returns the model now."""
        entry = self._entries.get(name)
        return entry is not None and entry.future.done() and not _has_failed(entry)

    def forget_failure(self, name: str) -> None:
        """Try a model that failed again at the next `get`."""
        entry = self._entries.get(name)
        if entry is not None and _has_failed(entry):
            del self._entries[name]

    def keep_only(self, names: Collection[str]) -> None:
        """Unload what no camera uses."""
        for name in self._entries.keys() - set(names):
            if self._entries[name].future.done():
                del self._entries[name]

    def preload(self, names: Collection[str]) -> None:
        """Load one of these ahead, if nothing is being loaded; what fails isn't tried again."""
        if self.loading:
            return
        for name in sorted(set(names) - self._entries.keys())[:1]:
            self._entries[name] = self._begin_loading(name)

    @property
    def loading(self) -> bool:
        return any(not entry.future.done() for entry in self._entries.values())

    @property
    def names(self) -> list[str]:
        """Names of the models that are loaded. Any thread may read them."""
        return sorted(self._find_loaded())

    @property
    def engines(self) -> dict[str, str]:
        """The engine of each model that is loaded. Any thread may read it."""
        return {name: model.detector.engine for name, model in self._find_loaded().items()}

    def _find_loaded(self) -> dict[str, LoadedModel]:
        # A copy, made at once: the worker's thread may be changing it.
        entries = self._entries.copy()
        return {
            name: entry.future.result()
            for name, entry in entries.items()
            if entry.future.done() and not _has_failed(entry)
        }

    def close(self) -> None:
        """Load nothing more."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    def _begin_loading(self, name: str) -> _PoolEntry:
        future = self._loader.submit(self._load, name)
        return _PoolEntry(future, Deadline(RETRY_S, self._clock))

    def _load(self, name: str) -> LoadedModel:
        try:
            path = find_bundle(name, self._folders)
            document = read_document(path)
            bundle = bundles.load(path)
            if read_document(path) != document:
                raise BundleError(f"model {name!r} was replaced while it was read")
            engine = self._choose_engine(bundle)
            detector = Detector(
                bundle, device=self._device, engine=engine, threads=self._threads, times=self._times
            )
            detector.prepare_parts()
        except BundleError:
            raise
        except EngineError as error:
            log.warning("a model can't be run", model=name, reason=str(error))
            raise BundleError(f"model {name!r} can't be run: {error}") from None
        except Exception as error:
            log.exception("a model can't be loaded", model=name)
            raise BundleError(f"model {name!r} can't be loaded: {type(error).__name__}") from None
        log.info("a model is loaded", model=name, device=self._device, engine=detector.engine)
        key = hashlib.sha256(document.model_dump_json().encode()).hexdigest()
        return LoadedModel(name, document.weights_sha256, detector, key)

    def _choose_engine(self, bundle: Bundle) -> EngineName:
        """Raises: EngineError: there is none, or not the one that is required."""
        if self._engine != AUTO:
            return EngineName(self._engine)
        choice = choose_engine(bundle, find_required_measures(bundle), self._device, threads=1)
        log.info(
            "an engine is chosen",
            model=bundle.name,
            engine=choice.engine,
            frame_ms={name.value: round(1e3 * s, 1) for name, s in choice.frame_s.items()},
            refused=choice.refused,
        )
        return choice.engine


def _has_failed(entry: _PoolEntry) -> bool:
    return entry.future.done() and entry.future.exception() is not None
