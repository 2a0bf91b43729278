"""Training learns, follows from its seed, and goes on after a stop as if there had been none."""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from model.network.losses import LossWeights
from model.network.network_config import NetConfig, Task
from model.network.preset_networks import PRESET_NETWORKS
from model.scoring.score_config import NormForm
from model.training.batches_ahead import make_ahead
from model.training.pseudo_anomalies import PseudoConfig
from model.training.trainer import (
    PRESETS,
    Progress,
    TrainConfig,
    Training,
    TrainingError,
    default_weights,
)
from model.training.windows import WindowConfig
from tests.model.drawn import NET, clip

CONFIG = TrainConfig(
    epochs=2, batch=3, learning_rate=1e-3, windows=WindowConfig(flip=True), bf16=False
)
JUDGING = replace(
    CONFIG,
    windows=WindowConfig(crop=16, flip=True, pseudo=PseudoConfig(anomalies=2.0)),
    judgement_weight=0.5,
)
JUDGE = replace(NET, judges=True)
CLIPS = [clip("a", 9), clip("b", 3), clip("c", 8, seed=5)]  # 5 + 0 + 4 windows: 3 steps an epoch


def _make_training(config: TrainConfig = CONFIG, net: NetConfig = NET) -> Training:
    return Training(net, config, CLIPS)


def _run_to_end(config: TrainConfig = CONFIG, net: NetConfig = NET) -> tuple[Training, list[float]]:
    run = _make_training(config, net)
    losses: list[float] = []
    run.run(on_step=lambda progress: losses.append(progress.total))
    return run, losses


def _assert_equal(one: Training, other: Training) -> None:
    assert torch.equal(one.items, other.items)
    for name, value in one.network.state_dict().items():
        assert torch.equal(value, other.network.state_dict()[name]), name


def _stop_after(run: Training, steps: int) -> Callable[[], bool]:
    return lambda: run.step >= steps


@pytest.mark.parametrize(
    ("config", "net"), [(CONFIG, NET), (replace(CONFIG, warmup=0.3), NET), (JUDGING, JUDGE)]
)
@pytest.mark.parametrize("stops", [(1,), (3,), (2, 4, 5)])  # within an epoch, and at its end
def test_a_resumed_run_equals_one_that_was_never_stopped(
    tmp_path: Path, stops: tuple[int, ...], config: TrainConfig, net: NetConfig
) -> None:
    whole, losses = _run_to_end(config, net)
    path = tmp_path / "run.checkpoint"
    seen: list[float] = []
    for count, stop in enumerate((*stops, whole.steps)):
        run = _make_training(config, net)
        if count:
            run.resume(path)
        run.run(
            on_step=lambda progress: seen.append(progress.total),
            checkpoint=path,
            stop=_stop_after(run, stop),
        )
        assert run.step == stop
    assert seen == losses
    _assert_equal(run, whole)
    assert run.is_done


def test_batches_made_ahead_train_the_same_network(tmp_path: Path) -> None:
    whole, losses = _run_to_end(JUDGING, JUDGE)
    path = tmp_path / "run.checkpoint"
    seen: list[float] = []
    for stop in (2, 4, whole.steps):
        run = Training(JUDGE, JUDGING, CLIPS, makes_ahead=True)
        if seen:
            run.resume(path)
        run.run(
            on_step=lambda progress: seen.append(progress.total),
            checkpoint=path,
            stop=_stop_after(run, stop),
        )
    assert seen == losses
    _assert_equal(run, whole)
    assert not [each for each in threading.enumerate() if each.name.startswith("batches")]


def test_what_fails_while_a_batch_is_made_ahead_stops_the_run() -> None:
    def make() -> Iterator[int]:
        yield 1
        yield 2
        raise OSError("the footage is gone")

    seen: list[int] = []
    with pytest.raises(OSError, match="the footage is gone"):
        seen.extend(make_ahead(make()))
    assert list(make_ahead(iter(range(7)), 3)) == list(range(7))
    assert list(make_ahead(iter(()))) == []


def test_a_run_follows_from_its_seed() -> None:
    one, losses = _run_to_end()
    other, same = _run_to_end()
    assert losses == same
    _assert_equal(one, other)
    assert _run_to_end(replace(CONFIG, seed=1))[1] != losses


@pytest.mark.parametrize("task", list(Task))
@pytest.mark.parametrize("form", list(NormForm))
def test_the_loss_falls(task: Task, form: NormForm) -> None:
    config = replace(CONFIG, epochs=12, learning_rate=5e-3, error_form=form, windows=WindowConfig())
    _, losses = _run_to_end(config, replace(NET, task=task))
    assert np.mean(losses[-4:]) < np.mean(losses[:4])


def test_progress_tells_parts_usage_and_time() -> None:
    run = _make_training()
    reported: list[Progress] = []
    run.run(on_step=reported.append)
    assert [(p.epoch, p.step, p.steps) for p in reported] == [
        (0, 1, 6), (0, 2, 6), (0, 3, 6), (1, 4, 6), (1, 5, 6), (1, 6, 6),
    ]  # fmt: skip
    for progress in reported:
        weights = CONFIG.weights
        parts = weights.compact * progress.compact + weights.separate * progress.separate
        assert progress.total == pytest.approx(progress.frame + parts, rel=1e-5)
        assert len(progress.usage) == NET.memory_items
        assert sum(progress.usage) == pytest.approx(1.0)
        assert progress.elapsed_s >= 0.0
    assert reported[0].learning_rate == CONFIG.learning_rate
    assert [p.learning_rate for p in reported] == sorted(
        (p.learning_rate for p in reported), reverse=True
    )
    assert reported[-1].remaining_s == 0.0


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_a_warm_up_as_long_as_one_step_is_no_trouble(epochs: int) -> None:
    run = Training(NET, replace(CONFIG, epochs=epochs, batch=64, warmup=0.1), CLIPS)
    assert run.steps == epochs
    run.run()
    assert run.is_done


def test_the_memory_is_updated_at_every_step_and_stays_on_the_sphere() -> None:
    run = _make_training()
    seen = [run.items]
    run.run(on_step=lambda _: seen.append(run.items))
    assert all(not torch.equal(a, b) for a, b in pairwise(seen))
    torch.testing.assert_close(seen[-1].norm(dim=2), torch.ones(1, NET.memory_items))


def test_a_loss_that_is_no_number_stops_the_run_with_one_sentence() -> None:
    with pytest.raises(TrainingError, match="lower the learning rate"):
        _run_to_end(replace(CONFIG, epochs=30, learning_rate=1e30))


@pytest.mark.parametrize(
    "change",
    [{"seed": 7}, {"batch": 2}, {"learning_rate": 2e-3}, {"weights": LossWeights(compact=0.2)}],
)
def test_a_checkpoint_of_other_settings_is_refused(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "x.checkpoint"
    _make_training().save(path)
    other = Training(NET, TrainConfig(**{**_list_fields(), **change}), CLIPS)
    with pytest.raises(TrainingError, match="other settings"):
        other.resume(path)


def _list_fields() -> dict[str, object]:
    names = ("epochs", "batch", "learning_rate", "windows", "bf16")
    return {name: getattr(CONFIG, name) for name in names}


def test_a_checkpoint_of_another_network_or_footage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.checkpoint"
    _make_training().save(path)
    others = (
        Training(replace(NET, base_width=3), CONFIG, CLIPS),
        Training(NET, CONFIG, [*CLIPS, clip("d", 20)]),
    )
    for other in others:
        with pytest.raises(TrainingError, match="other settings or other footage"):
            other.resume(path)


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


@pytest.mark.parametrize("what", ["missing", "empty", "text", "cut short", "a list", "a bomb"])
def test_what_is_no_checkpoint_is_refused_and_not_run(tmp_path: Path, what: str) -> None:
    path = tmp_path / "x.checkpoint"
    run = _make_training()
    if what == "empty":
        path.write_bytes(b"")
    elif what == "text":
        path.write_text("hello")
    elif what == "cut short":
        run.save(path)
        path.write_bytes(path.read_bytes()[:-500])
    elif what == "a list":
        torch.save([1, 2], path)
    elif what == "a bomb":
        torch.save({"version": 1, "identity": Bomb(tmp_path / "bang")}, path)
    with pytest.raises(TrainingError, match=r"x\.checkpoint"):
        run.resume(path)
    assert not (tmp_path / "bang").exists()


def test_a_checkpoint_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.checkpoint"
    _make_training().save(path)
    assert [file.name for file in path.parent.iterdir()] == ["x.checkpoint"]


def test_the_judgement_is_part_of_the_loss_and_falls() -> None:
    config = replace(JUDGING, epochs=12, learning_rate=1e-2)
    reported: list[Progress] = []
    Training(JUDGE, config, CLIPS).run(on_step=reported.append)
    judged = [progress.judgement for progress in reported if progress.judgement is not None]
    assert len(judged) == len(reported)
    assert np.mean(judged[-6:]) < 0.8 * np.mean(judged[:6])
    first = reported[0]
    parts = 0.1 * first.compact + 0.1 * first.separate + 0.5 * judged[0]
    assert first.total == pytest.approx(first.frame + parts, rel=1e-5)


@pytest.mark.parametrize(("config", "net"), [(CONFIG, JUDGE), (JUDGING, NET)])
def test_a_network_that_judges_needs_to_be_taught_to(config: TrainConfig, net: NetConfig) -> None:
    with pytest.raises(TrainingError, match="judgement_weight above 0"):
        Training(net, config, CLIPS)


def test_footage_without_a_window_is_refused() -> None:
    with pytest.raises(TrainingError, match="no clip has 5 frames in a row"):
        Training(NET, CONFIG, [clip("short", 4)])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch", -1),
        ("learning_rate", math.nan),
        ("learning_rate", 0.0),
        ("warmup", 1.0),
        ("warmup", math.nan),
        ("seed", -1),
        ("most_steps", -1),
        ("judgement_weight", -0.5),
    ],
)
def test_bad_settings_name_field_and_value(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be.*{value}"):
        replace(CONFIG, **{field: value})


def test_presets_and_weights_are_the_references() -> None:
    paper = PRESETS["paper"]
    assert (paper.base_width, paper.train.epochs, paper.train.batch) == (64, 60, 4)
    assert (paper.train.learning_rate, paper.train.warmup) == (2e-4, 0.0)
    assert default_weights(Task.PREDICTION) == LossWeights(0.1, 0.1, 1.0)
    assert default_weights(Task.RECONSTRUCTION) == LossWeights(0.01, 0.01, 1.0)
    assert {name: preset.base_width for name, preset in PRESETS.items()} == {
        "paper": 64, "medium": 32, "small": 16, "fast": 16, "tiny": 8,
    }  # fmt: skip
    assert {name for name, preset in PRESETS.items() if preset.patch > 1} == {"fast"}
    assert {
        name: NetConfig(
            base_width=preset.base_width,
            patch=preset.patch,
            judges=preset.train.judgement_weight > 0.0,
        )
        for name, preset in PRESETS.items()
    } == PRESET_NETWORKS
