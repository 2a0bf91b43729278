"""One step of scripts/check_compose.sh; runs in the container of the front end, as `python -`.

Needs nothing on the host; every request is repeated while the service is away.

usage: python - register MODEL | upload ID COUNT | check ID FIRST-LAST... | remove ID
"""

from __future__ import annotations

import os
import sys
import time

import cv2
import httpx
import numpy as np
from numpy.typing import NDArray

TIMEOUT_S = 180.0
PER_REQUEST = 4
WARMING_FRAMES = 4
"""This many frames have no score after a start or a change of owner."""


def client() -> httpx.Client:
    """A client of the front end in this container, with its first API key if it has any."""
    key = os.environ.get("NORMWATCH_API_KEYS", "").partition(",")[0].strip()
    headers = {"X-API-Key": key} if key else {}
    return httpx.Client(
        base_url="http://127.0.0.1:8000", headers=headers, timeout=30.0, trust_env=False
    )


def send_patiently(http: httpx.Client, request: httpx.Request) -> httpx.Response:
    """Repeat a request while the service is away or full, as its answers ask clients to do."""
    end = time.monotonic() + TIMEOUT_S
    while True:
        try:
            answer = http.send(request)
        except httpx.TransportError as error:
            problem = f"{type(error).__name__}: {error}"
        else:
            if answer.status_code not in (429, 503):
                return answer
            problem = f"{answer.status_code} {answer.text}"
        if time.monotonic() > end:
            raise SystemExit(
                f"{request.method} {request.url.path}: still {problem} after {TIMEOUT_S:g} s"
            )
        time.sleep(0.5)


def expect(answer: httpx.Response, status: int) -> httpx.Response:
    """Return the answer. Raises: SystemExit: it has another status."""
    if answer.status_code != status:
        raise SystemExit(f"expected {status}, got {answer.status_code}: {answer.text[:500]}")
    return answer


def picture(step: int) -> bytes:
    """A JPEG: someone who walks over a textured ground, a little further at each step."""
    random = np.random.default_rng(0)
    scene: NDArray[np.uint8] = random.integers(90, 120, (240, 320, 3), dtype=np.uint8)
    scene = np.asarray(cv2.GaussianBlur(scene, (7, 7), 0), np.uint8)
    left = 3 * step % 300
    cv2.rectangle(scene, (left, 100), (left + 14, 150), (40, 40, 40), -1)
    cv2.circle(scene, (left + 7, 92), 8, (60, 60, 60), -1)
    done, data = cv2.imencode(".jpg", scene)
    if not done:
        raise SystemExit("cannot encode a picture")
    return data.tobytes()


def register(http: httpx.Client, model: str) -> None:
    """Print the id of a new stream for uploads."""
    body = {"name": "check_compose", "source": "upload", "model": model}
    request = http.build_request("POST", "/streams", json=body)
    print(expect(send_patiently(http, request), 201).json()["id"])


def upload(http: httpx.Client, stream_id: str, count: int) -> None:
    """Print the numbers that were accepted, a range a line."""
    for start in range(0, count, PER_REQUEST):
        steps = range(start, min(count, start + PER_REQUEST))
        files = [("file", (f"{step}.jpg", picture(step), "image/jpeg")) for step in steps]
        request = http.build_request("POST", f"/streams/{stream_id}/frames", files=files)
        request.read()  # it may be sent more than once
        frames = expect(send_patiently(http, request), 202).json()["frames"]
        print(f"{frames['first']}-{frames['last']}", flush=True)


def scores(http: httpx.Client, stream_id: str) -> dict[int, float | None]:
    """All scores by frame. Raises: SystemExit: a frame came twice, or out of order."""
    found: dict[int, float | None] = {}
    after: int | None = -1
    while after is not None:
        asked = {"after": after, "limit": 500}
        request = http.build_request("GET", f"/streams/{stream_id}/scores", params=asked)
        page = expect(send_patiently(http, request), 200).json()
        for item in page["items"]:
            if found and item["frame"] <= max(found):
                raise SystemExit(f"frame {item['frame']} came after frame {max(found)}")
            found[item["frame"]] = item["score"]
        after = page["next"]
    return found


def check(http: httpx.Client, stream_id: str, ranges: list[str]) -> None:
    """Wait until each accepted frame has its entry, and print what there is."""
    expect(send_patiently(http, http.build_request("GET", f"/streams/{stream_id}")), 200)
    accepted: set[int] = set()
    for text in ranges:
        first, _, last = text.partition("-")
        accepted.update(range(int(first), int(last) + 1))
    end = time.monotonic() + TIMEOUT_S
    while missing := accepted - scores(http, stream_id).keys():
        if time.monotonic() > end:
            raise SystemExit(f"accepted, but not scored in {TIMEOUT_S:g} s: {sorted(missing)}")
        time.sleep(0.5)
    found = scores(http, stream_id)
    newest = [found[frame] for frame in sorted(found)[WARMING_FRAMES:]]
    known = [score for score in newest if score is not None]
    if not known:
        raise SystemExit("every score is null: the stream never left its warming")
    print(
        f"{len(accepted)} frames accepted, {len(found)} in the database, each once and in order; "
        f"{len(known)} with a score, from {min(known):.3f} to {max(known):.3f}"
    )


def main(words: list[str]) -> None:
    """Run the step that the words name."""
    with client() as http:
        match words:
            case ["register", model]:
                register(http, model)
            case ["upload", stream_id, count]:
                upload(http, stream_id, int(count))
            case ["check", stream_id, *ranges]:
                check(http, stream_id, ranges)
            case ["remove", stream_id]:
                request = http.build_request("DELETE", f"/streams/{stream_id}")
                expect(send_patiently(http, request), 204)
            case _:
                raise SystemExit(__doc__)


main(sys.argv[1:])
