"""Allocator settings for PyTorch: without them page faults take a fifth of training, and a seventh
of the time of a worker whose engine it is."""

from __future__ import annotations

import os
import sys

TUNABLES = ":".join(
    (
        # Keep freed activations in the heap, in huge pages, rather than give them back every step.
        "glibc.malloc.mmap_threshold=4294967296",
        "glibc.malloc.trim_threshold=8589934592",
        "glibc.malloc.hugetlb=1",
    )
)


def restart_with_tunables() -> None:
    """Start this command again with the settings, which glibc reads at start only.

    Does nothing where the user has set them or where the C library isn't glibc.
    """
    if not sys.platform.startswith("linux") or "GLIBC_TUNABLES" in os.environ:
        return
    try:
        if not os.confstr("CS_GNU_LIBC_VERSION"):
            return
    except (ValueError, OSError):
        return
    environment = {**os.environ, "GLIBC_TUNABLES": TUNABLES}
    sys.stdout.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)
