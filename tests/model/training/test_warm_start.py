"""A training may begin with the weights of a bundle, also one of another colour."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.bundles.bundle import Bundle, load, save
from model.bundles.calibration_config import Calibration
from model.bundles.catalog import SHIPPED, BundleError
from model.network.network_config import NetConfig
from model.network.unet import MemoryNetwork, build_network
from model.scoring.score_config import LIVE
from model.training.trainer import PRESETS, TrainConfig, Training, TrainingError
from model.training.warm_start import WarmStart, choose_start, find_start, load_start
from tests.model.drawn import NET, clip

FAST = NetConfig(base_width=16, patch=2, judges=True)
CONFIG = TrainConfig(epochs=2, batch=3, learning_rate=1e-3, bf16=False)
CLIPS = [clip("a", 9), clip("b", 8, seed=5)]
SHARES = torch.tensor([0.299, 0.587, 0.114])


def _make_bundle(folder: Path, seed: int = 3, net: NetConfig = NET) -> Path:
    torch.manual_seed(seed)
    items = torch.nn.functional.normalize(
        torch.rand(1, net.memory_items, net.memory_channels), dim=2
    )
    path = folder / f"start{seed}"
    save(Bundle(path.name, net, build_network(net), items, Calibration(), LIVE), path)
    return path


def _build(net: NetConfig, start: WarmStart) -> MemoryNetwork:
    network = build_network(net)
    network.load_state_dict(dict(start.tensors))
    return network.eval()


@pytest.mark.parametrize("preset", list(PRESETS))
def test_auto_takes_the_included_bundle_with_such_a_network(preset: str) -> None:
    chosen = PRESETS[preset]
    net = NetConfig(
        base_width=chosen.base_width,
        patch=chosen.patch,
        channels=3,
        height=192,
        width=320,
        judges=chosen.train.judgement_weight > 0.0,
    )
    expected = {"fast": "ped2-fast", "small": "ped2-judged"}.get(preset)
    found = find_start(net)
    assert (found.name if found else None) == expected
    start = choose_start("auto", net)
    assert (start.bundle if start else None) == expected
    assert find_start(replace(net, memory_items=11)) is None


@torch.no_grad()
def test_a_grey_bundle_predicts_grey_for_a_network_in_colour() -> None:
    source = load(SHIPPED / "ped2-fast")
    net = replace(FAST, channels=3)
    start = load_start(SHIPPED / "ped2-fast", net)
    frames = torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2.0 - 1.0
    grey = (frames * SHARES[:, None, None]).sum(dim=2)  # (B, T, H, W)
    expected, queries = source.network(grey, source.items)
    found, own = _build(net, start)(frames.flatten(1, 2), start.items)
    assert torch.allclose(own, queries, atol=1e-4)
    for colour in range(3):
        assert torch.allclose(found[:, colour], expected[:, 0], atol=1e-4)
    assert torch.allclose(found[:, 3], expected[:, 1], atol=1e-3)  # logits


@torch.no_grad()
def test_a_bundle_in_colour_starts_a_grey_network(tmp_path: Path) -> None:
    colour = replace(NET, channels=3)
    path = _make_bundle(tmp_path, net=colour)
    source, start = load(path), load_start(path, NET)
    frames = torch.rand(2, 4, 16, 24, generator=torch.Generator().manual_seed(0))
    expected, _ = source.network(frames.repeat_interleave(3, dim=1), source.items)
    found, _ = _build(NET, start)(frames, start.items)
    assert found.shape == (2, 1, 16, 24)
    # The mean is taken before the tanh.
    mean = torch.atanh(expected).mean(dim=1, keepdim=True).tanh()
    assert torch.allclose(found, mean, atol=1e-4)


def test_a_run_begins_with_the_bundle_and_leaves_it_as_it_is(tmp_path: Path) -> None:
    path = _make_bundle(tmp_path)
    before = load(path)
    start = load_start(path, NET)
    run = Training(NET, CONFIG, CLIPS, start=start)
    for name, value in before.network.state_dict().items():
        assert torch.equal(run.network.state_dict()[name], value), name
    assert torch.equal(run.items, before.items)
    run.run()
    for name, value in before.network.state_dict().items():
        assert torch.equal(start.tensors[name], value), name
    assert torch.equal(start.items, before.items)
    assert not torch.equal(run.items, before.items)


def test_a_resumed_run_needs_the_start_that_it_had(tmp_path: Path) -> None:
    one, other = (load_start(_make_bundle(tmp_path, seed), NET) for seed in (3, 4))
    whole = Training(NET, CONFIG, CLIPS, start=one)
    whole.run()
    path = tmp_path / "x.checkpoint"
    first = Training(NET, CONFIG, CLIPS, start=one)
    first.run(checkpoint=path, stop=lambda: first.step >= 2)
    for start in (None, other):
        with pytest.raises(TrainingError, match="other settings"):
            Training(NET, CONFIG, CLIPS, start=start).resume(path)
    resumed = Training(NET, CONFIG, CLIPS, start=one)
    resumed.resume(path)
    resumed.run()
    assert torch.equal(resumed.items, whole.items)
    for name, value in whole.network.state_dict().items():
        assert torch.equal(resumed.network.state_dict()[name], value), name


@pytest.mark.parametrize("most", [1, 2, 3])  # at the end of the first of 2 epochs, and later
def test_a_run_from_a_bundle_ends_at_its_most_steps_and_resumes(tmp_path: Path, most: int) -> None:
    config = replace(CONFIG, most_steps=most + 2)
    start = load_start(_make_bundle(tmp_path), NET)
    whole = Training(NET, config, CLIPS, start=start)
    whole.run()
    assert whole.step == whole.steps == most + 2
    assert whole.epochs == (1 if most < 2 else 2)
    assert whole.optimiser.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-9)
    path = tmp_path / "x.checkpoint"
    first = Training(NET, config, CLIPS, start=start)
    first.run(checkpoint=path, stop=lambda: first.step > most)
    resumed = Training(NET, config, CLIPS, start=start)
    resumed.resume(path)
    assert not resumed.is_done
    resumed.run()
    assert resumed.step == most + 2
    assert torch.equal(resumed.items, whole.items)
    # Neither random weights nor a short run are limited.
    assert Training(NET, config, CLIPS).steps > most + 2
    longer = Training(NET, replace(CONFIG, most_steps=1000), CLIPS, start=start)
    assert longer.steps == Training(NET, CONFIG, CLIPS).steps


def test_a_start_that_does_not_fit_or_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ped2-fast has another architecture"):
        choose_start("ped2-fast", NET)
    with pytest.raises(BundleError, match="no bundle 'nowhere'"):
        choose_start("nowhere", NET)
    path = _make_bundle(tmp_path)
    assert choose_start("none", FAST) is None
    by_name = choose_start(path.name, NET, [tmp_path])
    by_path = choose_start(str(path), NET)
    assert by_name is not None
    assert by_path is not None
    assert by_name.digest == by_path.digest


def test_little_training_from_a_bundle_is_ahead_of_as_much_from_noise(tmp_path: Path) -> None:
    """The bundle was trained on other footage of the same kind."""
    other = [clip("other", 30, seed=9)]
    teacher = Training(NET, replace(CONFIG, epochs=40, learning_rate=1e-2), other)
    teacher.run()
    network = teacher.network.eval()
    save(Bundle("taught", NET, network, teacher.items, Calibration(), LIVE), tmp_path / "taught")
    losses: list[float] = []
    for start in (None, load_start(tmp_path / "taught", NET)):
        reported: list[float] = []
        Training(NET, CONFIG, CLIPS, start=start).run(
            on_step=lambda progress, add=reported.append: add(progress.frame)
        )
        losses.append(reported[-1])
    assert losses[1] < losses[0]
