"""One camera of a worker: its configuration, its detector state, its source, and what it sends."""

from __future__ import annotations

from collections.abc import Callable

from model.bundles.catalog import BundleError
from model.detect.camera_state import CameraState
from model.detect.observation import CameraOptions, Observation
from model.scoring.cause import Cause
from service.capture.camera_capture import CaptureState
from service.infer.camera_notes import CameraNotes
from service.infer.camera_outbox import CameraOutbox
from service.infer.camera_pictures import CameraPictures, is_unusual
from service.infer.counted_source import CountedSource
from service.infer.frame_counts import FrameCounts
from service.infer.frame_scores import build_frame_score, find_features
from service.infer.frame_sources import FrameSource, SourceFrame
from service.infer.model_fit import ModelFit, misfit_reason
from service.infer.model_pool import LoadedModel, ModelPool
from service.infer.model_swap import ModelSwap, OwnSettings, find_difference, find_target_fps
from service.infer.options import build_options
from service.infer.owned_cameras import OwnedCamera
from service.infer.snapshots import SnapshotKeeper
from service.infer.source_opening import SourceRequest, list_playback
from service.infer.stream_life import CameraLife, Facts, overload_reason
from service.messages import UPLOAD, NoteKind, StreamConfig

DISPLAYED_FPS = 2.0
"""Frames a second that are captured, at most, of a camera without a model: for its picture."""


class Camera:
    """All that a worker holds of a camera. For the worker's thread; any may read `source`'s
    totals, `counts` and `life`."""

    def __init__(
        self,
        owned: OwnedCamera,
        outbox: CameraOutbox,
        *,
        worker_id: str,
        memory_rule: str,
        snapshot_every_s: float,
        pictures: CameraPictures,
        close_source: Callable[[FrameSource], None],
    ) -> None:
        """Args: memory_rule: how the camera's memory learns where its configuration names none."""
        self.worker_id = worker_id
        self.owned = owned
        self.outbox = outbox
        self.pictures = pictures
        self.model: LoadedModel | None = None
        self.state: CameraState | None = None
        self.options = CameraOptions()
        self.source = CountedSource(owned.first_frame, close_source)
        self.counts = FrameCounts()
        self.life = CameraLife(owned.last_status)
        self._notes = CameraNotes(worker_id, outbox, self.life)
        self.is_held = False
        """No frame may be scored until the camera was tended."""
        self.rounds_missed = 0
        """Rounds in a row in which it couldn't be tended, for a frame was being scored."""
        self._swap: ModelSwap | None = None
        self._fit = ModelFit()
        self._memory_rule = memory_rule
        self._snapshots = SnapshotKeeper(owned.snapshot, snapshot_every_s)
        self._failure = ""
        self._ended = False
        self._cut = True
        """No score of the run that the next frame belongs to has been sent."""
        self._configure()

    @property
    def config(self) -> StreamConfig:
        return self.owned.config

    @property
    def target_fps(self) -> float | None:
        """Frames a second to score, where there is a target; uploads come as they come."""
        model = self.model
        return None if model is None else find_target_fps(self.config, model)

    @property
    def model_name(self) -> str | None:
        """The model that scores the frames now. Any thread may read it."""
        model = self.model
        return None if model is None else model.name

    def list_models(self) -> list[str]:
        """List the models that are in use, or will be."""
        return [name for name in (self.config.model, self.model_name) if name is not None]

    def has_change(self, owned: OwnedCamera, models: ModelPool) -> bool:
        """Return whether the camera is to be changed before its next frame."""
        if self.owned is not owned or owned.leaving:
            return True
        return self._swap is not None and models.can_give(self._swap.name)

    def update(self, owned: OwnedCamera, models: ModelPool) -> None:
        """Take a new configuration or epoch over. Memory stays, unless source or model changed."""
        before, after = self.config, owned.config
        adopted = owned.epoch != self.owned.epoch
        self.owned = owned
        self.outbox.adopt(owned.epoch)
        if adopted and after.source == UPLOAD:
            # Redis lost its data: uploads are numbered from the database again.
            self.source.next_frame = owned.first_frame
            self.close()
        elif adopted:
            self.source.next_frame = max(self.source.next_frame, owned.first_frame)
        if before.revision == after.revision:
            return
        if after.model is not None:
            models.forget_failure(after.model)
        self._change_model(before)
        self._configure()
        if list_playback(before) != list_playback(after):
            self._reopen()

    def _change_model(self, before: StreamConfig) -> None:
        """Begin with another source or model, or keep the model in use until the next is loaded."""
        config, in_use = self.config, self.model
        if before.source != config.source or in_use is None or config.model is None:
            self._swap = None
            if (before.source, before.model) != (config.source, config.model):
                self._reopen()
                self.model = self.state = None
                self._fit = ModelFit()
                self._snapshots.forget_inherited()
        elif config.model == in_use.name:
            self._swap = None
        elif self._swap is None or self._swap.name != config.model:
            own = OwnSettings.of_config(before) if self._swap is None else self._swap.own
            self._swap = ModelSwap(config.model, own, self.state)

    def _reopen(self) -> None:
        """Close the source, so that it is opened as it is configured now."""
        self.life.is_reconfigured = True
        self.close()
        self._ended = False

    def _configure(self) -> None:
        self._failure = ""
        shape = self.model.detector.bundle.frame_shape if self.model else None
        config = self.config if self._swap is None else self._swap.own.apply(self.config)
        try:
            self.options = build_options(config, self._memory_rule, shape)
        except ValueError as error:
            self._failure = str(error)

    def tend(
        self, models: ModelPool, open_source: Callable[[SourceRequest], FrameSource], now: float
    ) -> None:
        """Bring the camera a step further: model, then state, then source."""
        if self.config.paused:
            self.close()
            return
        if self.config.model is None:
            self._display_frames(open_source)
            return
        if self._swap is not None:
            self._advance_swap(self._swap, models, now)
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
            restored = self._snapshots.restore(self.model, self.config)
            self.state, self._ended = restored.state, restored.ended
            self._fit = ModelFit(restored.fits)
        if not self.source.is_open and not self._ended:
            self._open_source(open_source, self.target_fps)

    def _open_source(
        self, open_source: Callable[[SourceRequest], FrameSource], fps: float | None
    ) -> None:
        discard = self.outbox.discards.append
        request = SourceRequest(self.config, self.model, fps, self.source.next_frame, discard)
        self.source.open(open_source(request))

    def _display_frames(self, open_source: Callable[[SourceRequest], FrameSource]) -> None:
        """Have the picture of a camera without a model displayed. Its uploads stay in Redis."""
        if self.config.source == UPLOAD:
            return
        if not self.source.is_open and not self._ended:
            fps = min(self.config.fps or DISPLAYED_FPS, DISPLAYED_FPS)
            self._open_source(open_source, fps)
        while (frame := self.source.pop()) is not None:
            self.source.finish_frame()
            self.counts.displayed += 1
            if (preview := self.pictures.display(frame)) is not None:
                self.outbox.put_preview(preview)

    def _advance_swap(self, swap: ModelSwap, models: ModelPool, now: float) -> None:
        """Put the next model in place of the one in use, once it is loaded."""
        before = self.model
        if before is None:
            self._swap = None
            return
        try:
            model = models.get(swap.name)
        except BundleError as error:
            if swap.problem != str(error):
                swap.problem = str(error)
                self._notes.add_model_change(now, swap.describe(before.name))
            return
        if model is not None:
            self._swap = None
            self._put_model(swap, before, model, now)

    def _put_model(
        self, swap: ModelSwap, before: LoadedModel, model: LoadedModel, now: float
    ) -> None:
        """Score by another model from the next frame on.

        The source stays open where the new model takes its frames as they are: then none is missed.
        """
        reason = f"model {model.name!r} scores from now on, {before.name!r} did before"
        status = self.source.status()
        if difference := find_difference(self.config, before, model):
            reason += f"; the source is opened again, because {difference}"
        if difference or self._ended or (status and status.state is CaptureState.ENDED):
            self._reopen()
        # What the old one has learned means nothing to the new one, but for the last frames.
        old, self.model, self.state = self.state, model, model.detector.start()
        if old is not None:
            swap.fill_window(self.state, old)
        self._fit = ModelFit()
        self._snapshots.forget_inherited()
        self._snapshots.mark_changed()
        self._configure()
        self._notes.add_model_change(now, reason)

    def leave(self) -> bool:
        """Take no more frames, and get ready for another owner. Returns whether all is sent."""
        self.save_snapshot(at_once=True)
        self.close()
        return self.outbox.is_empty

    def advance(self, now: float) -> None:
        """Take the stream's life a step further, and log each change of its state."""
        for change in self.life.advance(self._collect_facts(now), now):
            self._notes.add(NoteKind.STATE, now, change.after.reason)

    def _collect_facts(self, now: float) -> Facts:
        status, counts = self.source.status(), self.counts
        is_degraded = counts.is_degraded(now)
        return Facts(
            paused=self.config.paused,
            failure=self._failure,
            learning=self.config.model is None,
            uploaded=self.config.source == UPLOAD,
            loaded=self.model is not None,
            source=status.state if status else None,
            source_reason=status.reason if status else "",
            waiting=self.model is not None and self.source.count_waiting() > 0,
            warming=self.life.explain_warming(self.state),
            obscured=self.life.obscured,
            misfit=self._explain_misfit(now),
            overload=overload_reason(counts.compute_fps(now), self.target_fps)
            if is_degraded
            else "",
            swap=self._swap.describe(self.model.name) if self._swap and self.model else "",
            ended=status is None and self._ended,
            retried=not self.life.is_reconfigured,
        )

    def _explain_misfit(self, now: float) -> str:
        if not self._fit.is_misfit or self.model is None:
            return ""
        trained = self.model.detector.bundle.provenance.frame_rate
        is_slowed = self.config.source == UPLOAD or self.counts.is_degraded(now)
        return misfit_reason(trained, None if is_slowed else self.counts.compute_fps(now))

    def count_waiting(self) -> int:
        """Count the frames that could be scored now."""
        if self.state is None or self._awaits_model:
            return 0
        return self.source.count_waiting()

    @property
    def _awaits_model(self) -> bool:
        """Uploads wait for the next model: none is lost meanwhile, and the client finds all
        frames that it sends after the change scored by the model that it chose."""
        swap = self._swap
        return swap is not None and not swap.problem and self.config.source == UPLOAD

    def append_stale(self, before: float, now: float) -> None:
        """Append, without scores, the frames that have waited since before a time. The frame that
        is scored next is then predicted from the frames just before it, as in training."""
        if self.state is None:
            return
        for frame in self.source.pop_stale(before):
            if frame.cut:
                self.state.cut()
                self._cut = True
            features = find_features(frame)
            self.state.append_unscored(frame.pixels, features)
            if self._swap is not None:
                self._swap.add_frame(frame.pixels, features)
            self.counts.add_unscored(now)
            self.pictures.add_unscored(frame)

    def pop(self) -> SourceFrame | None:
        return self._begin(self.source.pop())

    def pop_still(self, refresh_s: float) -> SourceFrame | None:
        """Take the next frame, if it shows what the network saw last, no longer ago than
        `refresh_s`: then it needs no network."""
        state, model = self.state, self.model
        if state is None or model is None:
            return None
        detector, options = model.detector, self.options
        return self._begin(
            self.source.pop_if(
                lambda features: detector.is_still(state, features, options, refresh_s)
            )
        )

    def _begin(self, frame: SourceFrame | None) -> SourceFrame | None:
        if frame is not None:
            self._cut |= frame.cut
        return frame

    def put(self, frame: SourceFrame, seen: Observation, now: float) -> None:
        """Send the score of a frame that was observed."""
        self.life.observe(seen)
        # What stands still says nothing about the model.
        predicted = seen.score if seen.cause is Cause.MOTION else None
        self._fit.observe(frame.captured_at, predicted, seen.threshold)
        if self._swap is not None:
            self._swap.add_frame(frame.pixels, find_features(frame))
        self._snapshots.mark_changed()
        self.counts.add_scored(frame, seen, now)
        score = build_frame_score(
            frame,
            seen,
            epoch=self.owned.epoch,
            cut=self._cut,
            scored_at=now,
            is_misfit=self._fit.is_misfit,
        )
        self.outbox.put(score, frame.upload)
        self.source.finish_frame()
        self._cut = False
        if seen.scene is not None:
            self._notes.add(NoteKind.SCENE_CHANGED, now, seen.scene.reason)
        # A busy worker's cameras do with fewer pictures: scores need the time more than clips do.
        if is_unusual(seen) and not self._fit.is_misfit and not self.counts.is_degraded(now):
            self.source.look_closely()

    def keep_picture(self, frame: SourceFrame, seen: Observation) -> None:
        """Keep the observed frame's picture for clips, and send one as a preview if it is time."""
        if (preview := self.pictures.add_scored(frame, seen)) is not None:
            self.outbox.put_preview(preview)

    def drop(self, frame: SourceFrame) -> None:
        """Give up a frame that couldn't be scored."""
        self.counts.add_fault()
        self.source.finish_frame()
        if frame.upload is not None:
            self.outbox.discards.append(frame.upload)

    def save_snapshot(self, *, at_once: bool = False) -> None:
        """Send a snapshot if one is due, or `at_once`; only where something has changed."""
        if not self._ended and not self.source.count_waiting():
            status = self.source.status()
            if status is not None and status.state is CaptureState.ENDED:
                self._ended = True
                self._snapshots.mark_changed()
        if self.model is None or self.state is None:
            return
        packed = self._snapshots.pack_if_due(
            self.state,
            self.model,
            self.config,
            ended=self._ended,
            fits=self._fit.fits,
            at_once=at_once,
        )
        if packed is not None:
            self.outbox.put_snapshot(packed)

    def close(self) -> None:
        """Close the source; the frames of the next one follow no others."""
        if not self.source.close():
            return
        if self.state is not None:
            self.state.cut()
        self.life.begin_run()
        self._cut = True
        self.pictures.forget_pending()
