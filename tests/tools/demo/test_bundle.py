"""The shipped bundle on footage it has never seen: an event where one belongs, none elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from model.bundles import bundle as bundles
from model.bundles.bundle import Bundle
from model.bundles.catalog import find_bundle, list_bundles
from model.detect.detector import Detector
from model.events.event_detection import (
    Change,
    DetectionState,
    EventEnded,
    EventStarted,
    ScoredFrame,
    observe,
)
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source
from model.footage.source_pictures import Fitter
from service.record.detection_input import make_rules
from service.settings import Settings
from service.tools.demo.video import write_video
from service.tools.demo.walkway import FPS, Anomaly, AnomalyKind, draw_frames, label_frames

MAX_BYTES = 2_000_000


@pytest.fixture(scope="module")
def bundle() -> Iterator[Bundle]:
    """The shipped one, on one thread: on a busy machine several wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield bundles.load(find_bundle("demo"))
    torch.set_num_threads(before)


def _changes(
    bundle: Bundle, folder: Path, seed: int, seconds: float, anomalies: Sequence[Anomaly] = ()
) -> list[Change]:
    """What the recorder would make of the drawn footage, compressed as in the demo."""
    video = folder / "scene.mp4"
    write_video(video, draw_frames(seed, seconds, anomalies))
    detector, detection = Detector(bundle), DetectionState()
    operators = make_rules(Settings())
    camera = detector.start()
    changes: list[Change] = []
    fitter = Fitter(bundle.frame_shape)
    for number, timed in enumerate(FootageReader(Source("scene", video))):
        frame = fitter.fit(timed.picture)
        observed = detector.observe([camera], [frame])[0]
        at = number / FPS
        scored = ScoredFrame(number, at, at, observed.score, observed.threshold)
        detection, more = observe(detection, scored, operators)
        changes += more
    return changes


def test_it_is_shipped_small_and_says_where_it_comes_from(bundle: Bundle) -> None:
    info = next(info for info in list_bundles() if info.name == "demo")
    assert info.shipped
    assert sum(file.stat().st_size for file in info.path.iterdir()) < MAX_BYTES
    assert bundle.name == "demo"
    assert info.provenance.frame_rate == FPS
    assert info.provenance.notes
    for protocol in ("offline", "causal"):
        assert 90.0 < info.provenance.results[f"demo.auc.{protocol}.micro"] <= 100.0


@pytest.mark.parametrize("kind", list(AnomalyKind))
def test_an_anomaly_is_one_event(bundle: Bundle, tmp_path: Path, kind: AnomalyKind) -> None:
    anomalies = [Anomaly(kind, 6.0)]
    changes = _changes(bundle, tmp_path, 501, 14.0, anomalies)
    assert [type(change) for change in changes] == [EventStarted, EventEnded]
    abnormal = np.flatnonzero(label_frames(501, 14.0, anomalies))
    event = changes[-1].event
    assert abnormal[0] <= event.first_frame < abnormal[0] + FPS
    # The average of scores fades within a few frames.
    assert event.last_frame <= abnormal[-1] + FPS


def test_normal_footage_gives_no_event(bundle: Bundle, tmp_path: Path) -> None:
    assert _changes(bundle, tmp_path, 502, 60.0) == []
