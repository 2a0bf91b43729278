"""Run by the system's Python: an RTSP server that plays H.264 files, each from its start for each
client. Standard input's first line is its settings as JSON; it prints its port when it listens.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

_LAUNCH = (
    "( filesrc location={path} ! qtdemux ! h264parse config-interval=-1"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
_ROLE = "viewer"


def _server(port: int, user: str | None, password: str | None) -> GstRtspServer.RTSPServer:
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(port))
    if user is not None:
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", _ROLE)
        auth = GstRtspServer.RTSPAuth()
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(user, password or ""), token)
        server.set_auth(auth)
    return server


def main() -> None:
    """Serve until killed."""
    settings = json.loads(sys.stdin.readline())
    Gst.init(None)
    server = _server(settings["port"], settings["user"], settings["password"])
    for mount, path in settings["mounts"].items():
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(_LAUNCH.format(path=json.dumps(str(Path(path)))))
        if settings["user"] is not None:
            permissions = GstRtspServer.RTSPPermissions()
            permissions.add_permission_for_role(_ROLE, "media.factory.access", True)
            permissions.add_permission_for_role(_ROLE, "media.factory.construct", True)
            factory.set_permissions(permissions)
        server.get_mount_points().add_factory(mount, factory)
    if server.attach(None) == 0:
        sys.exit("cannot listen")
    print(server.get_bound_port(), flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
