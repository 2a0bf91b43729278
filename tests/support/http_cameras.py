"""Cameras that speak HTTP: MJPEG as multipart, and a live or finished HLS playlist."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count

import av

from tests.support.cameras import numbered_picture
from tests.support.footage import jpeg

Answer = Callable[[BaseHTTPRequestHandler], None]
BOUNDARY = "frame"
SEGMENT_FRAMES = 10


@contextmanager
def http_camera(answer: Answer) -> Iterator[str]:
    """Answer each GET in a thread of its own; yields the server's base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            try:
                answer(self)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def mjpeg(fps: float, sizes: tuple[tuple[int, int], ...] = ((96, 96),)) -> Answer:
    """Numbered pictures for ever; each 16 of another one of the sizes (height, width)."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        request.end_headers()
        number = 0
        while True:
            picture = jpeg(numbered_picture(number % 256, sizes[number // 16 % len(sizes)]))
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}"
            request.wfile.write(head.encode() + b"\r\n\r\n" + picture + b"\r\n")
            number += 1
            time.sleep(1.0 / fps)

    return answer


def snapshots(status: Callable[[int], int] = lambda _: 200) -> Answer:
    """A numbered picture for each request; `status` gives the answer's status by its number."""
    requests = count()

    def answer(request: BaseHTTPRequestHandler) -> None:
        number = next(requests)
        body = jpeg(numbered_picture(number % 256))
        request.send_response(status(number))
        request.send_header("Content-Type", "image/jpeg")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def segments(number: int, fps: int = 10) -> list[bytes]:
    """MPEG-TS of numbered pictures, each segment for itself, with times that go on."""
    return [_segment(index * SEGMENT_FRAMES, fps) for index in range(number)]


def _segment(first: int, fps: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mpegts") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        stream.options = {"crf": "12", "preset": "veryfast", "bf": "0"}
        stream.codec_context.thread_count = 1
        for number in range(first, first + SEGMENT_FRAMES):
            frame = av.VideoFrame.from_ndarray(numbered_picture(number), format="bgr24")
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def hls(parts: list[bytes], *, live: bool, fps: int = 10) -> Answer:
    """A playlist of the parts: finished, or with a window of three that moves as time goes on."""
    length_s = SEGMENT_FRAMES / fps
    began = time.monotonic()

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path.endswith(".ts"):
            body = parts[int(request.path.strip("/").removesuffix(".ts"))]
        else:
            there = int((time.monotonic() - began) / length_s) + 3 if live else len(parts)
            there = min(there, len(parts))
            first = max(0, there - 3) if live else 0
            lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{max(1, length_s):.0f}"]
            lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
            for number in range(first, there):
                lines += [f"#EXTINF:{length_s:.3f},", f"{number}.ts"]
            body = "\n".join([*lines, *([] if live else ["#EXT-X-ENDLIST"]), ""]).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return answer


def endless(part: bytes, bytes_per_s: float) -> Answer:
    """The same MPEG-TS again and again, so that its times start again each time."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "video/mp2t")
        request.end_headers()
        piece = max(188, int(bytes_per_s * 0.05))
        while True:
            for start in range(0, len(part), piece):
                request.wfile.write(part[start : start + piece])
                time.sleep(0.05)

    return answer
