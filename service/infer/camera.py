"""One camera of a worker: its configuration, its detector state, its source, its counters."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import structlog

from model.camera_state import CameraState
from model.catalog import BundleError
from model.observation import CameraOptions, Observation
from service.capture.camera import CaptureState
from service.infer.models import LoadedModel, ModelPool
from service.infer.options import options_of
from service.infer.outbox import Outbox
from service.infer.ownership import Owned
from service.infer.pictures import Pictures, is_unusual
from service.infer.rates import Ages, Rate
from service.infer.snapshots import Snapshot, identity
from service.infer.sources import FrameSource, SourceFrame
from service.infer.states import Facts, Life, step
from service.messages import (
    UPLOAD,
    DropReason,
    FrameScore,
    NoteKind,
    StreamConfig,
    StreamNote,
    StreamState,
    StreamStatus,
)

log = structlog.stdlib.get_logger(__name__)

DEGRADED_S = 10.0
"""A camera counts as degraded for so long after a frame that there was no time to score."""
OpenSource = Callable[["Camera"], FrameSource]
CloseSource = Callable[[FrameSource], None]


class Camera:
    """What a worker holds of a camera. For the worker's thread; `status` may be read by others."""

    def __init__(
        self,
        owned: Owned,
        outbox: Outbox,
        *,
        worker_id: str,
        memory_rule: str,
        pictures: Pictures,
        close_source: CloseSource,
    ) -> None:
        """A camera that has no rule of its own learns by `memory_rule`."""
        self.owned = owned
        self.outbox = outbox
        self.pictures = pictures
        self.model: LoadedModel | None = None
        self.state: CameraState | None = None
        self.next_frame = owned.first_frame
        self._worker_id = worker_id
        self._memory_rule = memory_rule
        self._close_source = close_source
        self._snapshot = owned.snapshot
        self._source: FrameSource | None = None
        self._failure = ""
        self.options = CameraOptions()
        self._ended = False
        self._warming = True
        self._obscured = ""
        self._dirty = False
        self._snapshot_at = float("-inf")
        self._rate = Rate()
        self._ages = Ages()
        self._age_s: float | None = None
        self._faults = 0
        self._unscored = 0
        self._unscored_at = float("-inf")
        self._popped = 0
        """Frames that the source that is open has given."""
        self._under_way = 0
        """Of them, those that are being scored."""
        self._past_captured = 0
        self._past_dropped: Counter[DropReason] = Counter()
        self._past_reconnects = 0
        self._life = _first_life(owned.told)
        self._changed = False
        """Whoever configures it wants something else since its source was last heard of."""
        self._configure()

    @property
    def config(self) -> StreamConfig:
        """The configuration in force."""
        return self.owned.config

    def update(self, owned: Owned, models: ModelPool) -> None:
        """Take a new configuration or epoch over. Memory stays, unless source or model changed."""
        before, after = self.config, owned.config
        adopted = owned.epoch != self.owned.epoch
        self.owned = owned
        self.outbox.adopt(owned.epoch)
        if adopted and after.source == UPLOAD:
            # Redis lost its data: uploads are numbered from the database again.
            self.next_frame = owned.first_frame
            self._drop_source()
        elif adopted:
            self.next_frame = max(self.next_frame, owned.first_frame)
        if before.revision == after.revision:
            return
        models.forget_failure(after.model)
        self._configure()
        if (before.source, before.model) != (after.source, after.model):
            self._changed = True
            self._drop_source()
            self.model = self.state = self._snapshot = None
            self._ended = False
        elif _played_as(before) != _played_as(after):
            self._changed = True
            self._drop_source()
            self._ended = False

    def _configure(self) -> None:
        self._failure = ""
        shape = self.model.detector.bundle.frame_shape if self.model else None
        try:
            self.options = options_of(self.config, self._memory_rule, shape)
        except ValueError as error:
            self._failure = str(error)

    def tend(self, models: ModelPool, open_source: OpenSource) -> None:
        """Bring it a step further: model, state, source."""
        if self.config.paused:
            self._drop_source()
            return
        if self.model is None:
            try:
                self.model = models.get(self.config.model)
            except BundleError as error:
                self._failure = str(error)
                return
            if self.model is None:
                return
            self._configure()
        if self.state is None:
            self.state = self._first_state(self.model)
        if self._source is None and not self._ended:
            self._source = open_source(self)
            self._popped = 0

    def leave(self) -> bool:
        """Take no more frames, and make ready for another owner; whether all has been sent."""
        self.save(time.monotonic(), 0.0)
        self._drop_source()
        return self.outbox.is_empty

    def advance(self, now: float) -> None:
        """Take the stream's life a step further; what changes is told."""
        facts = self._facts(now)
        if facts.source not in (None, CaptureState.CONNECTING):
            self._changed = False
        self._life, changes = step(self._life, facts, now)
        for change in changes:
            self._note(NoteKind.STATE, now, change.after.reason)

    def _note(self, kind: NoteKind, now: float, reason: str) -> None:
        self.outbox.note(
            StreamNote(
                kind=kind,
                at=now,
                state=self._life.state,
                reason=reason,
                worker=self._worker_id,
                epoch=self.owned.epoch,
            )
        )

    def _facts(self, now: float) -> Facts:
        source = self._source
        told = source.status() if source is not None else None
        degraded = now - self._unscored_at < DEGRADED_S
        return Facts(
            paused=self.config.paused,
            failure=self._failure,
            loaded=self.model is not None,
            source=told.state if told else None,
            source_reason=told.reason if told else "",
            waiting=source is not None and source.waiting() > 0,
            warming=self._warming,
            obscured=self._obscured,
            overload=_overload(self.fps(now), self.target_fps) if degraded else "",
            ended=source is None and self._ended,
            retried=not self._changed,
        )

    def _first_state(self, model: LoadedModel) -> CameraState:
        data, self._snapshot = self._snapshot, None
        if data is not None:
            try:
                snapshot = Snapshot.unpack(data)
                if snapshot.identity == self._identity(model):
                    self._ended = snapshot.ended and not self.config.loop
                    state = model.detector.restore(snapshot.state)
                    # Its frames don't precede the next one.
                    state.cut()
                    return state
            except ValueError as error:
                log.warning("a snapshot is of no use", stream=self.config.id, reason=str(error))
        return model.detector.start()

    def _identity(self, model: LoadedModel) -> str:
        return identity(self.config.source, model.weights)

    @property
    def waiting(self) -> int:
        """Frames that could be scored now."""
        if self.state is None or self._source is None:
            return 0
        return self._source.waiting()

    @property
    def target_fps(self) -> float | None:
        """Frames a second to score, where there is a target; uploads come as they come."""
        if self.config.source == UPLOAD:
            return None
        trained = self.model.detector.bundle.provenance.frame_rate if self.model else None
        return self.config.fps or trained

    def take_in_stale(self, before: float, now: float) -> None:
        """Take in, without scores, the frames that have waited since before a time. What is scored
        next then follows from the frames just before it, as in training."""
        if self.state is None or self._source is None:
            return
        for frame in self._source.pop_stale(before):
            if frame.cut:
                self.state.cut()
            self.state.take_in(frame.pixels)
            self.next_frame = max(self.next_frame, frame.frame + 1)
            self._popped += 1
            self._unscored += 1
            self._unscored_at = now
            self.pictures.unscored(frame)

    def pop(self) -> SourceFrame | None:
        """The next frame, if it can be used."""
        if self._source is None:
            return None
        frame = self._source.pop()
        if frame is not None:
            self.next_frame = max(self.next_frame, frame.frame + 1)
            self._popped += 1
            self._under_way = 1
        return frame

    def put(self, frame: SourceFrame, seen: Observation, now: float) -> None:
        """A frame was observed: its score goes out."""
        self._warming, self._obscured = seen.warming, seen.obscured
        self._dirty = True
        self._rate.add(now)
        self._age_s = now - frame.captured_at
        self._ages.add(now, self._age_s)
        self.outbox.put(self._score(frame, seen, now), frame.upload)
        self._under_way = 0
        if seen.scene is not None:
            self._note(NoteKind.SCENE_CHANGED, now, seen.scene.reason)
        if self._source is not None and is_unusual(seen):
            self._source.look_closely()
        if (shown := self.pictures.scored(frame, seen, now)) is not None:
            self.outbox.show(shown)

    def _score(self, frame: SourceFrame, seen: Observation, now: float) -> FrameScore:
        if seen.warming:
            return FrameScore(
                frame=frame.frame,
                epoch=self.owned.epoch,
                captured_at=frame.captured_at,
                scored_at=now,
                memory_updated=seen.memory_updated,
                state=StreamState.OBSCURED if seen.obscured else StreamState.WARMING,
            )
        return FrameScore(
            frame=frame.frame,
            epoch=self.owned.epoch,
            captured_at=frame.captured_at,
            scored_at=now,
            psnr=seen.psnr,
            distance=seen.distance,
            gate_error=seen.gate_error,
            score=seen.score,
            threshold=seen.threshold,
            memory_updated=seen.memory_updated,
            state=StreamState.LIVE,
            region=seen.region,
        )

    def drop(self, frame: SourceFrame) -> None:
        """Inference failed for the frame: it gets no score."""
        self._faults += 1
        self._under_way = 0
        if frame.upload is not None:
            self.outbox.discards.append(frame.upload)

    def save(self, now: float, every_s: float) -> bool:
        """Put a snapshot out, if one is due; 0 makes it due whenever something changed."""
        source = self._source
        if source is not None and not self._ended and not source.waiting():
            self._ended = source.status().state is CaptureState.ENDED
            self._dirty |= self._ended
        if not self._dirty or self.model is None or self.state is None:
            return False
        if now - self._snapshot_at < every_s:
            return False
        self._snapshot_at = now
        self._dirty = False
        kept = self.state.without_frames().save()
        snapshot = Snapshot(self._identity(self.model), kept, self._ended)
        self.outbox.put_snapshot(snapshot.pack())
        return True

    def fps(self, now: float) -> float:
        """Frames scored a second, of late."""
        return self._rate.per_second(now)

    def status(self, now: float, share: float) -> StreamStatus:
        """As the front end shows it; `share` is its part of the frames that the worker scores."""
        source = self._source
        ages = self._ages.quantiles(now)
        told = source.status() if source is not None else None
        life = self._life
        dropped = self._past_dropped + (told.dropped if told else Counter()) + self.outbox.dropped
        dropped[DropReason.FAULT] += self._faults
        dropped[DropReason.OVERLOAD] += self._unscored
        return StreamStatus(
            state=life.state,
            reason=life.reason,
            since=life.since,
            worker=self._worker_id,
            epoch=self.owned.epoch,
            captured=self._past_captured + (told.captured if told else 0),
            scored=self.outbox.scored,
            dropped={cause: count for cause, count in dropped.items() if count},
            waiting=(told.waiting if told else 0) + self._under_way + self.outbox.held,
            fps=self.fps(now),
            target_fps=self.target_fps,
            degraded=now - self._unscored_at < DEGRADED_S,
            weight=self.config.weight,
            share=share,
            frame_age_s=self._age_s,
            frame_age_p50_s=ages.p50 if ages else None,
            frame_age_p99_s=ages.p99 if ages else None,
            reconnects=self._past_reconnects + (told.reconnects if told else 0),
            updated_at=now,
        )

    def stop(self) -> None:
        """Ask the source to end; returns at once."""
        if self._source is not None:
            self._source.stop()

    def close(self) -> None:
        """End the source."""
        self._drop_source()

    def _drop_source(self) -> None:
        if self._source is None:
            return
        source, self._source = self._source, None
        status = source.status()
        self._past_captured += status.captured
        self._past_dropped += status.dropped
        # Frames that come from now on aren't captured; those that wait will not be scored.
        unseen = status.captured - status.dropped.total() - self._popped
        self._past_dropped[DropReason.CLOSED] += max(0, unseen)
        self._past_reconnects += status.reconnects
        if self.state is not None:
            self.state.cut()
        self._warming, self._obscured = True, ""
        self.pictures.forget_unshown()
        self._close_source(source)


def _overload(fps: float, target: float | None) -> str:
    if target is None:
        return f"the worker is overloaded: {fps:.1f} frames a second are scored"
    # What comes unevenly may be more for a moment.
    scored = f"{min(fps, target):.1f} of {target:g}"
    return f"the worker is overloaded: {scored} frames a second are scored"


def _first_life(told: StreamStatus | None) -> Life:
    """A stream that changes hands goes on living: what it is, and since when, stays."""
    return Life() if told is None else Life(told.state, told.reason, told.since)


def _played_as(config: StreamConfig) -> tuple[object, ...]:
    """What a source is opened anew for; uploads come as they come."""
    if config.source == UPLOAD:
        return (config.paused,)
    return config.paused, config.fps, config.loop, config.transport, config.decode
