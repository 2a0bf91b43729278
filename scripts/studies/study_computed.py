"""Measures a frame's processor time when only changed parts are computed, and with whole pictures.

    python -m scripts.studies.study_computed BUNDLE VIDEO [--engine E] [--rounds N]

Two cameras of one detector get the same frames in turn, so that a busy machine slows both alike.
Their scenes are watched, as in the service.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from model.bundles.bundle import load
from model.bundles.catalog import find_bundle
from model.detect.detector import Detector
from model.detect.observation import CameraOptions
from model.engines.names import EngineName
from model.footage.clips import read_clips
from model.footage.footage_search import find_footage
from model.network.update_rules import LIVE_UPDATE
from model.scene.features import extract
from model.stages import Stage, StageTimes


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one bundle on one video."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("video")
    parser.add_argument("--engine", type=EngineName, default=EngineName.OPENVINO_INT8)
    parser.add_argument("--rounds", type=int, default=1, help="repeat the video this many times")
    options = parser.parse_args(arguments)
    bundle = load(find_bundle(options.bundle))
    # The detector then prepares its parts at once.
    bundle = replace(bundle, calibration=replace(bundle.calibration, skips_still=True))
    fps = bundle.provenance.frame_rate or 10.0
    clips = read_clips(find_footage([options.video]).sources, bundle.frame_shape, fps)
    times = StageTimes()
    detector = Detector(bundle, engine=options.engine, times=times)
    ways = [CameraOptions(update=LIVE_UPDATE, skip_still=skips) for skips in (False, True)]
    cameras = [detector.start() for _ in ways]
    spent: list[list[tuple[float, float]]] = [[], []]
    computed: list[float] = []
    differences: list[float] = []
    number = 0
    for clip in [clip for _ in range(options.rounds) for clip in clips]:
        for camera in cameras:
            camera.cut()
        for frame in clip.frames:
            features = extract(frame, number / fps)
            number += 1
            scores: list[float | None] = [None, None]
            for way in (0, 1) if number % 2 else (1, 0):
                network_s, began_s = times.seconds()[Stage.NETWORK], time.process_time()
                (seen,) = detector.observe([cameras[way]], [frame], [ways[way]], [features])
                took_s = time.process_time() - began_s
                network_s = times.seconds()[Stage.NETWORK] - network_s
                if seen.psnr is not None:
                    spent[way].append((1000.0 * network_s, 1000.0 * took_s))
                    if way == 1:
                        computed.append(seen.computed)
                scores[way] = seen.score
            if scores[0] is not None and scores[1] is not None:
                differences.append(abs(scores[0] - scores[1]))
    full, part = (np.array(each) for each in spent)
    print(f"frames {len(part)}, computed {np.mean(computed):.3f} of the picture")
    for share in sorted(set(computed)):
        chosen = np.array(computed) == share
        print(f"  {share:.4f}: {chosen.mean():.3f} of frames, {part[chosen, 1].mean():.2f} ms")
    for at, name in enumerate(("network", "detector")):
        mean, ours = full[:, at].mean(), part[:, at].mean()
        print(f"{name}: {mean:.2f} ms whole, {ours:.2f} ms: {100 * (1 - ours / mean):.1f}% saved")
    print(f"largest difference of a score {max(differences):.4f}")


if __name__ == "__main__":
    main()
