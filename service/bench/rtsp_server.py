"""Run by the system's Python: an RTSP server that plays H.264 files, each from its start for each
client. Standard input's first line is its settings as JSON; it prints its port when it listens.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from types import ModuleType

LAUNCH = (
    "( filesrc location={path} ! qtdemux ! h264parse config-interval=-1"
    " ! rtph264pay name=pay0 pt=96 config-interval=-1 )"
)
ROLE = "viewer"


def _repository() -> ModuleType:
    """GStreamer; the versions are to be named before anything of it is loaded."""
    gi = import_module("gi")
    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    repository = import_module("gi.repository")
    import_module("gi.repository.GstRtspServer")
    return repository


def main() -> None:
    """Serve until killed."""
    settings = json.loads(sys.stdin.readline())
    repository = _repository()
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
    for mount, path in settings["mounts"].items():
        factory = rtsp.RTSPMediaFactory()
        factory.set_launch(LAUNCH.format(path=json.dumps(path)))
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
