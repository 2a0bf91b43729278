"""Run by the system's Python: an RTSP camera with a live picture, a bar that moves over a noisy
chequered ground. Each line of standard input is settings as JSON, which hold from then on; it
prints its port when it listens.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from importlib import import_module
from types import ModuleType
from typing import Any

ENCODERS = {
    "jpeg": "jpegenc quality=90 ! rtpjpegpay name=pay0 pt=26",
    "h264": "openh264enc gop-size=20 bitrate=1000000 ! h264parse config-interval=-1"
    " ! rtph264pay name=pay0 pt=96",
}
LAUNCH = (
    "( appsrc name=source format=time is-live=true ! videoconvert ! video/x-raw,format=I420 ! {} )"
)
BAR = 16
FIELDS = 8


class Camera:
    """Draws pictures as the settings of the moment say."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        self.drawn = 0
        self._last = b""

    def picture(self) -> bytes:
        """The next picture, grey; the same again while frozen."""
        width, height = self.settings["size"]
        if not self.settings["frozen"] or len(self._last) != width * height:
            rows = [[noisy_row(width, odd) for _ in range(8)] for odd in (0, 1)]
            left = 4 * self.drawn % (width - BAR)
            middle = range(height // 3, height // 2)
            drawn = []
            for y in range(height):
                row = random.choice(rows[FIELDS * y // height % 2])
                barred = row[:left] + b"\xdc" * BAR + row[left + BAR :]
                drawn.append(barred if y in middle else row)
            self._last = b"".join(drawn)
        self.drawn += 1
        return self._last


def noisy_row(width: int, odd: int) -> bytes:
    """Of the ground: fields of mean 60 and 120 in turn."""
    return bytes(
        random.randrange(50, 70) + 60 * ((FIELDS * x // width + odd) % 2) for x in range(width)
    )


class Feed:
    """Pushes pictures to one client."""

    def __init__(self, gst: ModuleType, glib: ModuleType, camera: Camera, source: Any) -> None:
        self._gst, self._glib, self._camera, self._source = gst, glib, camera, source
        self._began = time.monotonic()
        self._size = (0, 0)
        self._time_s = 0.0
        self.push()

    def push(self) -> bool:
        """One picture; the next one comes by itself, until the client has gone."""
        settings = self._camera.settings
        size = tuple(settings["size"])
        if size != self._size:
            self._size = size
            caps = "video/x-raw,format=GRAY8,framerate=30/1,width={},height={}".format(*size)
            self._source.set_property("caps", self._gst.Caps.from_string(caps))
        buffer = self._gst.Buffer.new_wrapped(self._camera.picture())
        buffer.pts = int(self._time() * self._gst.SECOND)
        if self._source.emit("push-buffer", buffer) == self._gst.FlowReturn.OK:
            self._glib.timeout_add(int(1000 / settings["fps"]), self.push)
        return False

    def _time(self) -> float:
        settings = self._camera.settings
        if not settings["still"]:
            self._time_s = time.monotonic() - self._began
        loop_s = settings["loop_s"]
        return self._time_s % loop_s if loop_s else self._time_s


def main() -> None:
    """Serve until killed."""
    gi = import_module("gi")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    repository = import_module("gi.repository")
    rtsp = import_module("gi.repository.GstRtspServer")
    import_module("gi.repository.Gst").init(None)
    settings = json.loads(sys.stdin.readline())
    camera = Camera(settings)
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(settings["port"]))
    factory = rtsp.RTSPMediaFactory()
    factory.set_launch(LAUNCH.format(ENCODERS[settings["encoding"]]))

    def configure(_: object, media: Any) -> None:
        source = media.get_element().get_by_name("source")
        Feed(repository.Gst, repository.GLib, camera, source)

    factory.connect("media-configure", configure)
    server.get_mount_points().add_factory("/live", factory)
    if server.attach(None) == 0:
        sys.exit("cannot listen")

    def listen() -> None:
        for line in sys.stdin:
            settings.update(json.loads(line))

    threading.Thread(target=listen, daemon=True).start()
    print(server.get_bound_port(), flush=True)
    repository.GLib.MainLoop().run()


if __name__ == "__main__":
    main()
