"""Draw accuracy against time a frame, of bundles that were measured.

    python -m scripts.studies.plot_knee --out FILE --point NAME BENCH EVALUATION ...

BENCH is of `normwatch bench network NAME --json`, EVALUATION of
`normwatch evaluate NAME DATA --engine openvino-int8 --json`.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from matplotlib.figure import Figure


def main() -> None:
    """One point a bundle, at the median time of its fastest engine."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--point", nargs=3, action="append", required=True, metavar="VALUE")
    arguments = parser.parse_args()
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, bench, evaluation in arguments.point:
        speed = json.loads(Path(bench).read_text())
        milliseconds = speed["engines"][speed["engine"]]["core_ms"]["median"]
        auc = json.loads(Path(evaluation).read_text())["auc"]["causal"]["micro"]
        ratio = speed["ratio_per_core"]["median"]
        axes.plot(milliseconds, auc, "o", color="tab:blue")
        label = f"{name}: {milliseconds:.1f} ms, {ratio:.0f} times"
        axes.annotate(label, (milliseconds, auc), (6, -12), textcoords="offset points", fontsize=8)
        print(f"{name}: {milliseconds:.2f} ms, {auc:.2f}, {ratio:.1f} times the reference form")
    axes.set(xscale="log", xlabel="ms a frame, one core", ylabel="causal AUC on Ped2, percent")
    axes.set_xlim(5, 200)
    axes.grid(alpha=0.3)
    figure.savefig(arguments.out, dpi=120)


if __name__ == "__main__":
    main()
