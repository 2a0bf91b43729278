"""`python -m scripts.cameras LIST --out FOLDER`: train, measure and compare a list of cameras.

LIST is JSON (see `camera_list.CameraList`). FOLDER gets the bundles, a result for each camera, and
`cameras.json` and `cameras.md` with all of them. What is there already isn't measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import cv2
import torch

from model.engines.names import EngineName
from scripts.cameras.camera_figures import measure_camera, provide_bundle
from scripts.cameras.camera_list import (
    CameraListError,
    CameraResult,
    read_list,
    read_result,
    write_result,
)
from scripts.cameras.camera_tables import make_tables


def main() -> int:
    """Returns the exit status: 1 when a camera couldn't be measured, 2 for an unreadable list."""
    options = _parse_arguments()
    try:
        listed = read_list(options.list)
    except CameraListError as error:
        print(f"scripts.cameras: {error}", file=sys.stderr)
        return 2
    if not options.usual_priority:
        _step_back()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    engine = EngineName(options.engine) if options.engine else None
    results: list[CameraResult] = []
    failed = 0
    for entry in listed.cameras:
        if options.only and entry.name not in options.only:
            continue
        kept = options.out / f"{entry.name}.json"
        result = read_result(kept, entry)
        if result is None:
            began = time.monotonic()
            try:
                bundle = provide_bundle(entry, options.out)
                result = measure_camera(entry, bundle, listed.strangers, engine)
            except (ValueError, subprocess.SubprocessError) as error:
                print(f"{entry.name}: {error}", file=sys.stderr)
                failed += 1
                continue
            write_result(kept, result)
            print(f"{entry.name}: {time.monotonic() - began:.0f} s", flush=True)
        results.append(result)
        _write_tables(options.out, results)
    print(make_tables(results))
    return 1 if failed else 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts.cameras", description=__doc__.splitlines()[0])
    parser.add_argument("list", type=Path, help="JSON file with the cameras")
    parser.add_argument("--out", type=Path, required=True, help="folder of bundles and results")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure only this camera")
    parser.add_argument("--engine", choices=[each.value for each in EngineName])
    parser.add_argument(
        "--usual-priority", action="store_true", help="don't leave the processor to others"
    )
    return parser.parse_args()


def _step_back() -> None:
    """Take only time of the processor that nobody else wants."""
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))


def _write_tables(out: Path, results: list[CameraResult]) -> None:
    document = [result.model_dump(mode="json") for result in results]
    (out / "cameras.json").write_text(json.dumps(document, indent=2) + "\n")
    (out / "cameras.md").write_text(make_tables(results))


if __name__ == "__main__":
    sys.exit(main())
