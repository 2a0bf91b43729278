"""Windows are consecutive frames of one clip, cut, mirrored and changed as they are asked to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from model.network.network_config import Task
from model.training.pseudo_anomalies import PseudoConfig
from model.training.windows import TrainingBatch, WindowConfig, Windows
from tests.model.drawn import NET, clip

CLIPS = [clip("a", 9), clip("b", 3), clip("c", 8, seed=5)]  # 5 + 0 + 4 windows


def _make_batch(windows: Windows, indices: list[int], seed: int = 0) -> TrainingBatch:
    return windows.make_batch(indices, np.random.default_rng(seed))


def test_windows_never_cross_a_cut() -> None:
    windows = Windows(CLIPS, NET)
    assert len(windows) == 9
    assert windows.frames == 20
    inputs, targets, abnormal = _make_batch(windows, list(range(9)))
    frames = [torch.from_numpy(c.frames.copy()).float() / 127.5 - 1.0 for c in CLIPS]
    torch.testing.assert_close(inputs[4], frames[0][4:8])
    torch.testing.assert_close(targets[4, 0], frames[0][8])
    torch.testing.assert_close(inputs[5], frames[2][0:4])
    torch.testing.assert_close(targets[8, 0], frames[2][7])
    assert abnormal.shape == (9, 1, 16, 24)
    assert not abnormal.any()


def test_about_half_of_the_windows_are_mirrored_whole() -> None:
    plain = _make_batch(Windows(CLIPS, NET), [2] * 40)
    flipped = _make_batch(Windows(CLIPS, NET, WindowConfig(flip=True)), [2] * 40)
    mirrored = 0
    for name in ("inputs", "targets"):
        before, after = getattr(plain, name), getattr(flipped, name)
        same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
        turned = [torch.equal(a.flip(2), b) for a, b in zip(before, after, strict=True)]
        assert all(one != other for one, other in zip(same, turned, strict=True))
        mirrored = sum(turned)
    assert 8 <= mirrored <= 32


def test_reconstruction_rebuilds_what_it_is_given() -> None:
    windows = Windows(CLIPS, replace(NET, task=Task.RECONSTRUCTION))
    assert len(windows) == 20
    inputs, targets, _ = _make_batch(windows, [0, 7])
    assert torch.equal(inputs, targets)


def test_colour_windows_stack_frames_then_channels() -> None:
    coloured = clip("x", 5)
    frames = np.stack([coloured.frames + shade for shade in range(3)], axis=3)
    windows = Windows([replace(coloured, frames=frames)], replace(NET, channels=3))
    inputs, targets, _ = _make_batch(windows, [0])
    assert inputs.shape == (1, 12, 16, 24)
    expected = torch.from_numpy(frames[1, :, :, 2].copy()).float() / 127.5 - 1.0
    torch.testing.assert_close(inputs[0, 5], expected)
    assert targets.shape == (1, 3, 16, 24)


@pytest.mark.parametrize("pseudo", [None, PseudoConfig(anomalies=0.0, normals=0.0)])
def test_a_crop_is_one_place_of_all_frames(pseudo: PseudoConfig | None) -> None:
    windows = Windows(CLIPS, NET, WindowConfig(crop=16, pseudo=pseudo))
    inputs, targets, _ = _make_batch(windows, [1] * 20)
    whole = torch.from_numpy(CLIPS[0].frames[1:6].copy()).float() / 127.5 - 1.0
    seen = set()
    for past, target in zip(inputs, targets, strict=True):
        lefts = [left for left in (0, 8) if torch.equal(past, whole[:4, :, left : left + 16])]
        assert len(lefts) == 1
        assert torch.equal(target[0], whole[4, :, lefts[0] : lefts[0] + 16])
        seen |= set(lefts)
    assert seen == {0, 8}


@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_marked_is_left_out_of_the_target_and_stands_in_the_input(channels: int) -> None:
    clips = CLIPS
    if channels == 3:
        clips = [replace(c, frames=np.repeat(c.frames[..., None], 3, axis=3)) for c in CLIPS]
    pseudo = PseudoConfig(anomalies=3.0, normals=0.0)
    windows = Windows(clips, replace(NET, channels=channels), WindowConfig(pseudo=pseudo))
    plain = _make_batch(Windows(clips, replace(NET, channels=channels)), [0] * 30)
    batch = _make_batch(windows, [0] * 30)
    assert torch.equal(batch.targets, plain.targets)
    assert batch.abnormal.any()
    changed = (batch.inputs - plain.inputs).abs().amax(dim=(1, 2, 3)) > 0.05
    marked = batch.abnormal.amax(dim=(1, 2, 3)) > 0
    assert changed[marked].float().mean() > 0.8
    assert torch.equal(batch.abnormal, (batch.abnormal > 0.5).float())


def test_windows_follow_from_the_generator() -> None:
    windows = Windows(CLIPS, NET, WindowConfig(crop=16, flip=True, pseudo=PseudoConfig()))
    one, same, other = (_make_batch(windows, list(range(9)), seed) for seed in (1, 1, 2))
    for name in TrainingBatch._fields:
        assert torch.equal(getattr(one, name), getattr(same, name))
    assert not torch.equal(one.inputs, other.inputs)


def test_a_crop_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="crop must be 0 or a multiple of 8, got 20"):
        WindowConfig(crop=20)
    with pytest.raises(ValueError, match="crop must fit 16x24 pixels, got 24"):
        Windows(CLIPS, NET, WindowConfig(crop=24))


def test_what_was_called_normal_is_repeated_up_to_its_share() -> None:
    called = [clip("d", 6, seed=9), clip("e", 4)]  # 2 + 0 windows
    plain = Windows(CLIPS, NET)
    for share, repeats in ((0.0, 1), (0.5, 4), (0.8, 18), (0.99, 50)):
        windows = Windows(CLIPS, NET, WindowConfig(called_share=share), called)
        assert len(windows) == len(plain) + 2 * repeats
        assert windows.frames == plain.frames + 10
    windows = Windows(CLIPS, NET, WindowConfig(called_share=0.5), called)
    _, targets, _ = _make_batch(windows, [9, 10, 11, 12])
    frames = torch.from_numpy(called[0].frames.copy()).float() / 127.5 - 1.0
    torch.testing.assert_close(targets[:, 0], frames[[4, 5, 4, 5]])
    with pytest.raises(ValueError, match=r"called_share must be .* got 1\.0"):
        WindowConfig(called_share=1.0)
    with pytest.raises(ValueError, match="no clip has 5 frames in a row"):
        Windows([], NET, None, called)


def test_nothing_is_cut_out_of_clips_marked_normal_and_crops_contain_their_things() -> None:
    footage = [replace(CLIPS[0], frames=np.full((40, 64, 64), 90, np.uint8))]
    moving = np.full((30, 64, 64), 90, np.uint8)
    for step in range(30):
        moving[step, 4:14, 2 * step : 2 * step + 8] = 220
    net = replace(NET, height=64, width=64, judges=True)
    config = WindowConfig(crop=16, pseudo=PseudoConfig())
    windows = Windows(footage, net, config, [replace(CLIPS[0], frames=moving)])
    assert windows.pseudo is not None
    assert windows.pseudo.cutouts == []
    called = list(range(len(footage[0]) - 4, len(footage[0]) - 4 + 20))
    quiet = replace(config, pseudo=PseudoConfig(0.0, 0.0))
    looking = Windows(footage, net, quiet, [replace(CLIPS[0], frames=moving)])
    blind = Windows(footage, net, replace(config, pseudo=None), [replace(CLIPS[0], frames=moving)])
    shares = [
        sum(bool((target > 0.5).any()) for target in _make_batch(each, called * 5).targets)
        for each in (looking, blind)
    ]
    assert shares[0] > 1.5 * shares[1]
