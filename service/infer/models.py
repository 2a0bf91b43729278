"""The bundles at work in a worker: each loaded once, in the background, for all its cameras."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import structlog

from model import bundle as bundles
from model.bundle import Bundle
from model.catalog import BundleError, find, read_document
from model.detector import Detector, wanted_of
from model.engines.choice import choose
from model.engines.engine import EngineError
from model.engines.names import EngineName
from service.settings import AUTO

log = structlog.stdlib.get_logger(__name__)

RETRY_S = 30.0


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A bundle, ready to infer."""

    name: str
    weights: str
    """Checksum, which tells one bundle from another of the same name."""
    detector: Detector


@dataclass(slots=True)
class _Entry:
    future: Future[LoadedModel]
    asked_at: float


class ModelPool:
    """Bundles by name. For one thread; loading happens in another."""

    def __init__(
        self,
        folders: Sequence[Path],
        device: str,
        *,
        engine: str = AUTO,
        threads: int = 1,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Args: engine: a name, or `auto`: the fastest here. threads: cores for a batch."""
        self._folders = folders
        self._device = device
        self._engine = engine
        self._threads = threads
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._loader = ThreadPoolExecutor(1, "models")

    def get(self, name: str) -> LoadedModel | None:
        """The model, or None while it is loading. Raises: BundleError: it can't be loaded.

        What failed is tried again after half a minute, or after `forget_failure`.
        """
        now = self._clock()
        entry = self._entries.get(name)
        if entry is None or (_failed(entry) and now - entry.asked_at >= RETRY_S):
            entry = _Entry(self._loader.submit(self._load, name), now)
            self._entries[name] = entry
        return entry.future.result() if entry.future.done() else None

    def forget_failure(self, name: str) -> None:
        """Try a model that failed again at the next `get`."""
        entry = self._entries.get(name)
        if entry is not None and _failed(entry):
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
            self._entries[name] = _Entry(self._loader.submit(self._load, name), self._clock())

    @property
    def loading(self) -> bool:
        """Whether a model is being loaded."""
        return any(not entry.future.done() for entry in self._entries.values())

    @property
    def names(self) -> list[str]:
        """Names of the models that are loaded. Any thread may ask."""
        return sorted(self._loaded())

    @property
    def engines(self) -> dict[str, str]:
        """What runs each model that is loaded. Any thread may ask."""
        return {name: model.detector.engine for name, model in self._loaded().items()}

    def _loaded(self) -> dict[str, LoadedModel]:
        # A copy, made at once: the worker's thread may be changing it.
        entries = self._entries.copy()
        return {
            name: entry.future.result()
            for name, entry in entries.items()
            if entry.future.done() and not _failed(entry)
        }

    def close(self) -> None:
        """Load nothing more."""
        self._loader.shutdown(wait=False, cancel_futures=True)

    def _load(self, name: str) -> LoadedModel:
        try:
            path = find(name, self._folders)
            weights = read_document(path).weights_sha256
            bundle = bundles.load(path)
            engine = self._chosen(bundle)
            detector = Detector(bundle, device=self._device, engine=engine, threads=self._threads)
        except BundleError:
            raise
        except EngineError as error:
            log.warning("a model can't be run", model=name, reason=str(error))
            raise BundleError(f"model {name!r} can't be run: {error}") from None
        except Exception as error:
            log.exception("a model can't be loaded", model=name)
            raise BundleError(f"model {name!r} can't be loaded: {type(error).__name__}") from None
        log.info("a model is loaded", model=name, device=self._device, engine=detector.engine)
        return LoadedModel(name, weights, detector)

    def _chosen(self, bundle: Bundle) -> EngineName:
        """Raises: EngineError: there is none, or not the one that is wanted."""
        if self._engine != AUTO:
            return EngineName(self._engine)
        choice = choose(bundle, wanted_of(bundle), self._device, threads=1)
        log.info(
            "an engine is chosen",
            model=bundle.name,
            engine=choice.engine,
            frame_ms={name.value: round(1e3 * s, 1) for name, s in choice.frame_s.items()},
            refused=choice.refused,
        )
        return choice.engine


def _failed(entry: _Entry) -> bool:
    return entry.future.done() and entry.future.exception() is not None
