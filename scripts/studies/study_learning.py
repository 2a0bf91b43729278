"""Lets the service learn a labelled data set as a live camera, then plays the test clips to it.

    python -m scripts.studies.study_learning DATASET --work DIR [--fps 10]
        [--learn '{"preset": "fast"}'] [--watched VIDEO --cameras 4]

DATASET holds training/ and testing/ with labels, as for `normwatch evaluate`. An RTSP server plays
the training clips, one after the other; everything else goes through the HTTP API, as an owner
would do it: register without a model, learn, wait until it is live. Then the test clips are played
on the same stream. DIR keeps the service's data. Figures are printed, and written to
DIR/figures.json. With `--watched`, other cameras play that video meanwhile; the age of their
frames is reported.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np

from model.data.datasets import load_test_clips
from model.evaluation.accuracy import compute_accuracy, to_array
from model.footage.footage_reader import FootageReader
from model.footage.footage_search import Source, find_footage
from service.tools.bench.rtsp import RtspServer

FINAL = {"live", "rejected", "failed", "cancelled", "ready"}
POLL_S = 2.0
CLIP_TIMEOUT_S = 180.0
PLAYED_LATE = 3
"""Frames at the end of a clip that may be missing."""


@dataclass
class LearningStudy:
    """A running service with one camera that learns, and others that are watched meanwhile."""

    client: httpx.Client
    camera: str
    others: list[str] = field(default_factory=list)
    ages: dict[str, list[float]] = field(default_factory=dict)
    """99th percentiles of the others' frame age in seconds, by the state of the learning."""

    def note_ages(self, state: str) -> None:
        for stream_id in self.others:
            age = self.get(f"/streams/{stream_id}")["status"]["frame_age_p99_s"]
            if age is not None:
                self.ages.setdefault(state, []).append(float(age))

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        answer = self.client.get(path, params=query)
        found: dict[str, Any] = answer.raise_for_status().json()
        return found

    def learn(self, request: dict[str, object]) -> dict[str, Any]:
        """Learn the camera, and wait for the end; prints each change of state."""
        answer = self.client.post(f"/streams/{self.camera}/learn", json=request)
        if not answer.is_success:
            raise SystemExit(f"POST learn: {answer.text}")
        learning: dict[str, Any] = answer.json()
        began, state = time.monotonic(), ""
        spent: dict[str, float] = {}
        while learning["state"] not in FINAL:
            if learning["state"] != state:
                state = learning["state"]
                print(f"{time.monotonic() - began:7.0f} s  {state}", flush=True)
            time.sleep(POLL_S)
            self.note_ages(state)
            spent[state] = spent.get(state, 0.0) + POLL_S
            learning = self.get(f"/learnings/{learning['id']}")
        took = time.monotonic() - began
        print(f"{took:7.0f} s  {learning['state']}: {learning['reason']}", flush=True)
        return learning | {"took_s": round(took), "spent_s": spent}

    def play_clip(self, length: int) -> list[float | None]:
        """Play the clip from its start to the camera; returns a score for each of its frames."""
        url = f"/streams/{self.camera}"
        before = self._find_last_frame()
        self.client.patch(url, json={"paused": False}).raise_for_status()
        give_up = time.monotonic() + CLIP_TIMEOUT_S
        rows: list[dict[str, Any]] = []
        while time.monotonic() < give_up:
            rows = self._read_scores(before)
            if rows and rows[-1]["frame"] - rows[0]["frame"] >= length - PLAYED_LATE:
                break
            time.sleep(0.5)
        self.client.patch(url, json={"paused": True}).raise_for_status()
        scores: list[float | None] = [None] * length
        for row in rows:
            place = row["frame"] - rows[0]["frame"]
            if place < length:
                scores[place] = row["score"]
        return scores

    def _find_last_frame(self) -> int:
        rows = self._read_scores(-1)
        return int(rows[-1]["frame"]) if rows else -1

    def _read_scores(self, after: int) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        page: int | None = after
        while page is not None:
            found = self.get(f"/streams/{self.camera}/scores", after=page, limit=10_000)
            items += found["items"]
            page = found["next"]
        return items


def write_clip(path: Path, sources: Sequence[Source], fps: float) -> int:
    """Write the pictures of the sources as one H.264 video; returns how many there are."""
    pictures = (each.picture.bgr() for source in sources for each in FootageReader(source))
    part, count = path.with_suffix(".part.mp4"), 0
    with av.open(str(part), "w") as container:
        stream = container.add_stream("libx264", rate=round(fps))
        stream.pix_fmt, stream.gop_size = "yuv420p", round(fps)
        stream.options = {"crf": "12", "preset": "veryfast", "bf": "0"}
        for count, picture in enumerate(pictures, 1):
            if count == 1:
                stream.height, stream.width = (side - side % 2 for side in picture.shape[:2])
            cropped = np.ascontiguousarray(picture[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(cropped, format="bgr24")))
        container.mux(stream.encode())
    part.replace(path)
    return count


@contextmanager
def run_service(work: Path) -> Iterator[str]:
    """Run `normwatch serve` in the folder; yields its URL."""
    log = work / "serve.log"
    command = [sys.executable, "-m", "service", "serve", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--data-dir", str(work / "data")], stdout=output, stderr=output
        )
    try:
        while "normwatch is at " not in log.read_text():
            if process.poll() is not None:
                raise SystemExit(f"the service did not start; see {log}")
            time.sleep(0.5)
        yield log.read_text().partition("normwatch is at ")[2].split()[0]
    finally:
        process.terminate()
        process.wait(60)


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--fps", type=float, default=10.0)
    parser.add_argument("--learn", type=json.loads, default={}, help="body of POST learn, as JSON")
    parser.add_argument("--watched", type=Path, help="a video of other cameras")
    parser.add_argument("--cameras", type=int, default=4, help="how many others")
    arguments = parser.parse_args()
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    played = work / "played.mp4"
    training = find_footage([str(arguments.dataset / "training")]).sources
    frames = write_clip(played, training, arguments.fps)
    mounts = {"/camera": played}
    if arguments.watched:
        mounts["/watched"] = arguments.watched
    server = RtspServer(mounts)
    server.start()
    try:
        with run_service(work) as url, httpx.Client(base_url=url, timeout=60.0) as client:
            figures = _study(client, server.base, arguments, played, frames)
    finally:
        server.kill()
    (work / "figures.json").write_text(json.dumps(figures, indent=1))
    print(json.dumps({key: figures[key] for key in ("causal", "minutes", "age_p99_s")}, indent=1))


def _study(
    client: httpx.Client, base: str, arguments: argparse.Namespace, played: Path, frames: int
) -> dict[str, Any]:
    def register(name: str, path: str, model: str | None) -> str:
        body = {"name": name, "source": base + path, "model": model}
        answer = client.post("/streams", json=body)
        if not answer.is_success:
            raise SystemExit(f"POST /streams: {answer.text}")
        return str(answer.json()["id"])

    study = LearningStudy(client, "")
    if arguments.watched:
        names = [f"watched {number}" for number in range(1, arguments.cameras + 1)]
        study.others = [register(name, "/watched", "ped2-fast") for name in names]
        for _ in range(30):
            time.sleep(POLL_S)
            study.note_ages("before")
    study.camera = register("camera", "/camera", None)
    seconds = (frames - 10) / arguments.fps
    learning = study.learn({"seconds": seconds, "activate": "always", **arguments.learn})
    if learning["state"] != "live":
        raise SystemExit(f"the learning ended as {learning['state']}: {learning['reason']}")
    for _ in range(30 if study.others else 5):
        time.sleep(POLL_S)
        study.note_ages("after")
    client.patch(f"/streams/{study.camera}", json={"paused": True}).raise_for_status()
    labels, scores = [], []
    for clip in load_test_clips(arguments.dataset):
        length = write_clip(played, [clip.source], arguments.fps)
        time.sleep(POLL_S)  # until the last playback has ended
        scores.append(to_array(study.play_clip(length)))
        labels.append(clip.abnormal[:length])
    events = study.get("/events", stream_id=study.camera, limit=200)["items"]
    return {
        "causal": compute_accuracy(labels, scores).micro,
        "unscored": int(sum(np.isnan(each).sum() for each in scores)),
        "minutes": {name: round(s / 60, 1) for name, s in learning["spent_s"].items()},
        "age_p99_s": {name: round(max(each), 2) for name, each in study.ages.items()},
        "events": len(events),
        "check": learning["check"],
        "footage": learning["footage"],
    }


if __name__ == "__main__":
    main()
