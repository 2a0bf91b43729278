"""An RTSP server for the system's Python, which plays H.264 files, from the start for each client.
It reads its settings, JSON in one line, from standard input, and prints its port once it listens.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from types import ModuleType

TRACK = (
    "filesrc location={path} ! qtdemux ! h264parse config-interval=-1"
    " ! rtph264pay name=pay{number} pt={payload}"
)
ROLE = "viewer"


def _load_gstreamer() -> ModuleType:
    """Load GStreamer; its versions must be named first."""
    gi = import_module("gi")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    repository = import_module("gi.repository")
    import_module("gi.repository.GstRtspServer")
    return repository


def main() -> None:
    """Serve until killed."""
    settings = json.loads(sys.stdin.readline())
    repository = _load_gstreamer()
    rtsp = repository.GstRtspServer
    repository.Gst.init(None)
    server = rtsp.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(settings["port"]))
    if settings["user"] is not None:
        token = rtsp.RTSPToken()
        token.set_string("media.factory.role", ROLE)
        auth = rtsp.RTSPAuth()
        auth.add_basic(
            rtsp.RTSPAuth.make_basic(settings["user"], settings["password"] or ""), token
        )
        server.set_auth(auth)
    for mount, paths in settings["mounts"].items():
        factory = rtsp.RTSPMediaFactory()
        tracks = [
            TRACK.format(path=json.dumps(path), number=number, payload=96 + number)
            for number, path in enumerate(paths)
        ]
        factory.set_launch(f"( {' '.join(tracks)} )")
        if settings["user"] is not None:
            permissions = rtsp.RTSPPermissions()
            permissions.add_permission_for_role(ROLE, "media.factory.access", True)
            permissions.add_permission_for_role(ROLE, "media.factory.construct", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(mount, factory)
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    print(server.get_bound_port(), flush=True)
    repository.GLib.MainLoop().run()


if __name__ == "__main__":
    main()
