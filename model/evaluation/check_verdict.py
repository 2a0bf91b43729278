"""Decides whether a checked model may go live by itself, and says why in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from model.evaluation.check_figures import KindFigures
from model.evaluation.synthetic_anomalies import SyntheticKind

LEAST_SCENES = 12
"""With fewer scenes nothing can be said; as for the choice of the score."""
LEAST_NORMAL_S = 20.0
"""With less held-out normal footage nothing can be said about false events."""
GOOD_AUC = 0.75
"""A verdict calls a model that passes with less only usable."""
MOST_HIGH_SHARE = 0.2
"""A model doesn't know a camera whose held-out footage scores as abnormal for longer."""
LEAST_FOUND = 0.1
"""It must find this share of the scenes, at least."""
CURRENT_MARGIN = 0.01
"""It may be worse than the model in use by so little: its interval is wider by far."""


_PLURALS: dict[str, str] = {
    SyntheticKind.STRANGER: "strangers",
    SyntheticKind.REVERSED: "backward movement",
    SyntheticKind.ACCELERATED: "fast movement",
    SyntheticKind.STOPPED: "people who stop on their way",
    SyntheticKind.RESIZED: "things of another size",
    SyntheticKind.LYING: "people who lie down",
    SyntheticKind.SMOKE: "smoke",
}
"""What a verdict calls the kinds."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What the verdict rests on; AUCs are from 0 to 1."""

    auc: float
    frame_difference_auc: float
    current_auc: float | None
    found: int
    scenes: int
    false_events: int
    normal_s: float
    """Seconds of held-out normal footage."""
    high_share: float
    """Share of the held-out normal frames that score at or above the threshold."""
    kinds: Sequence[KindFigures]


def may_go_live(findings: Findings) -> bool:
    """Return whether the model may go live by itself."""
    return _find_fault(findings) is None


def give_verdict(findings: Findings) -> str:
    """Say in one sentence what the model is worth."""
    fault = _find_fault(findings)
    if fault is not None:
        return fault
    found = f"it finds {findings.found} of {findings.scenes} made-up anomalies"
    missed = [f"no {_PLURALS[each.kind]}" for each in findings.kinds if not each.found]
    if missed:
        found += f", but {' and '.join(missed)}"
    word = "good" if findings.auc >= GOOD_AUC else "usable"
    return f"{word}: {found}; with {_count(findings.false_events)} in normal footage"


def _count(events: int) -> str:
    return {0: "no false event", 1: "1 false event"}.get(events, f"{events} false events")


def _find_fault(findings: Findings) -> str | None:
    auc = f"{100.0 * findings.auc:.0f} %"
    if findings.high_share > MOST_HIGH_SHARE:
        share = f"{100.0 * findings.high_share:.0f} %"
        return f"it doesn't know this camera: {share} of the normal footage scores as abnormal"
    if findings.scenes < LEAST_SCENES or findings.normal_s < LEAST_NORMAL_S:
        return "it can't be checked: the held-out footage is too short"
    if findings.auc < findings.frame_difference_auc:
        other = f"{100.0 * findings.frame_difference_auc:.0f} %"
        return f"it is no better than the plain difference of frames: AUC {auc}, against {other}"
    if findings.current_auc is not None and findings.auc < findings.current_auc - CURRENT_MARGIN:
        other = f"{100.0 * findings.current_auc:.0f} %"
        return f"the model in use is better: AUC {other}, against {auc}"
    if findings.found < LEAST_FOUND * findings.scenes:
        return f"it finds only {findings.found} of {findings.scenes} made-up anomalies"
    return None
