"""Trains, calibrates and checks one learning's model, and puts its bundle among the user's."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog
import torch

from model.bundles.bundle import Bundle, load, save
from model.bundles.catalog import BundleError, find_bundle, read_document
from model.engines.names import EngineName
from model.evaluation.check_report import save_report
from model.evaluation.model_check import check_model
from model.footage.clips import Clip
from model.network.network_config import NetConfig
from model.training.bundle_calibration import split_clips
from model.training.trainer import PRESETS, Progress, Training, TrainingError
from model.training.warm_start import choose_start
from service.errors import BadInput
from service.infer.device import choose_threads
from service.learn.bundle_making import make_bundle, make_provenance
from service.learn.job_footage import JobFootage
from service.learn.job_reports import JobReports
from service.learn.learning_folder import BUNDLES, LearningFolder, take_lock
from service.learn.work_order import HELD_OUT, WorkOrder
from service.learning_messages import CheckSummary, LearningState
from service.model_folders import CHECK, REPORT, read_check
from service.settings import AUTO
from service.signals import stop_on_signals

log = structlog.stdlib.get_logger(__name__)

CHECKPOINT_EVERY_S = 30.0
LOCK_EVERY_S = 0.5
LEARNING = "learning"
"""Setting of a bundle's provenance: the id of the learning that made it."""


class Interrupted(Exception):
    """The process was asked to end; its checkpoint is saved."""


@dataclass(frozen=True, slots=True)
class JobTraining:
    """The training of one learning, once its footage is judged."""

    order: WorkOrder
    folder: LearningFolder
    reports: JobReports
    footage: JobFootage
    """Only the clips to learn."""

    def run(self) -> None:
        """Wait until no other learning trains on this machine; then train and check.

        Raises: BadInput, ValueError: it can't be trained. Interrupted: by a signal.
        """
        with self.folder.open_training_lock() as lock:
            if not take_lock(lock):
                self.reports.report(
                    LearningState.QUEUED, "another learning is in training on this machine"
                )
                while not take_lock(lock):
                    time.sleep(LOCK_EVERY_S)
            self.reports.report(LearningState.TRAINING)
            torch.set_num_threads(choose_threads(self.order.torch_threads))
            self._train()

    def _train(self) -> None:
        net, shape = self._configure(), self.footage.clips[0].frames.shape
        net = replace(net, channels=3 if len(shape) == 4 else 1)
        try:
            training, held_out = split_clips(self.footage.clips, HELD_OUT, net.context)
        except ValueError as error:
            raise BadInput("footage", None, str(error)) from None
        run = self._start(net, training)
        stop = threading.Event()
        with stop_on_signals(stop):
            if not run.is_done:  # a checkpoint is only saved again with more steps
                run.run(
                    on_step=lambda progress: self._report_step(progress, stop),
                    checkpoint=self.folder.checkpoint,
                    checkpoint_every_s=CHECKPOINT_EVERY_S,
                    stop=stop.is_set,
                )
        if not run.is_done:
            raise Interrupted
        self._finish(run, training, held_out)

    def _configure(self) -> NetConfig:
        preset = PRESETS.get(self.order.job.preset)
        if preset is None:
            raise BadInput("preset", self.order.job.preset, f"must be one of {', '.join(PRESETS)}")
        return NetConfig(
            base_width=preset.base_width,
            patch=preset.patch,
            height=self.order.side,
            width=self.order.side,
            judges=preset.train.judgement_weight > 0.0,
        )

    def _start(self, net: NetConfig, clips: Sequence[Clip]) -> Training:
        """Start the run, or go on with its checkpoint where that fits."""
        job, config = self.order.job, PRESETS[self.order.job.preset].train
        crop = min(config.windows.crop, self.order.side)
        config = replace(
            config,
            epochs=job.epochs or config.epochs,
            most_steps=0 if job.epochs else config.most_steps,
            windows=replace(config.windows, flip=job.flip, crop=crop),
        )
        start = choose_start(job.start, net, [self.order.models])
        run = Training(net, config, clips, start=start, makes_ahead=True)
        if self.folder.checkpoint.exists():
            try:
                run.resume(self.folder.checkpoint)
            except TrainingError as error:
                log.warning("training starts again", learning=job.id, reason=str(error))
                return Training(net, config, clips, start=start, makes_ahead=True)
        return run

    def _report_step(self, progress: Progress, stop: threading.Event) -> None:
        """Report a step. If the learner was killed, the checkpoint is to be saved all the same."""
        try:
            self.reports.report_progress(
                LearningState.TRAINING,
                progress.step / progress.steps,
                remaining_s=progress.remaining_s,
                loss=progress.total,
            )
        except BrokenPipeError:
            stop.set()

    def _finish(self, run: Training, training: Sequence[Clip], held_out: Sequence[Clip]) -> None:
        job = self.order.job
        self.reports.report(LearningState.CHECKING)
        settings = {"stream": job.stream_id, LEARNING: job.id}
        rate = self.footage.fps
        origin = make_provenance(run, held_out, self.footage.names, rate, settings)
        bundle = make_bundle(
            run, held_out, job.bundle, origin, lambda text: log.info(text, learning=job.id)
        )
        self.reports.report(LearningState.CHECKING, progress=0.5)
        found = check_model(
            bundle,
            held_out,
            training,
            rate,
            current=self._load_current(),
            engine=None if self.order.engine == AUTO else EngineName(self.order.engine),
            on_progress=lambda done: self.reports.report_progress(
                LearningState.CHECKING, 0.5 + 0.5 * done
            ),
        )
        check = CheckSummary.model_validate(found, from_attributes=True)
        staging = self.order.models / BUNDLES / job.id
        shutil.rmtree(staging, ignore_errors=True)
        report = staging / REPORT
        report.mkdir(parents=True)
        save_report(found, report)
        (staging / CHECK).write_text(check.model_dump_json(indent=2) + "\n", encoding="utf-8")
        save(bundle, staging)
        _publish(staging, self.order.models / job.bundle)
        self.reports.report(LearningState.READY, check=check, progress=1.0)

    def _load_current(self) -> Bundle | None:
        name = self.order.job.current_model
        if name is None:
            return None
        try:
            return load(find_bundle(name, [self.order.models]))
        except BundleError as error:
            log.warning("the model in use can't be compared", model=name, reason=str(error))
            return None


def _publish(staging: Path, target: Path) -> None:
    """Move a finished bundle to its place. Raises: BadInput: something is there."""
    try:
        staging.rename(target)
    except OSError as error:
        raise BadInput("bundle", target.name, f"can't be written: {error.strerror}") from None
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_finished_check(order: WorkOrder) -> CheckSummary | None:
    """Return the check of this learning's bundle, if an earlier process finished it."""
    path = order.models / order.job.bundle
    try:
        maker = read_document(path).provenance.settings.get(LEARNING)
    except BundleError:
        return None
    return read_check(path) if maker == order.job.id else None
