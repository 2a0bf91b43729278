"""What was measured, as JSON values; `docs/evaluation.md` documents them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from model.evaluation.accuracy import Accuracy
from model.evaluation.comparison import Comparison, Detected, Figures, Plan
from model.evaluation.events import EventOutcome, FalseRate
from model.evaluation.protocol import Evaluation

Json = Mapping[str, object]


def to_json(comparison: Comparison, plan: Plan, *, bundle: str, score: str) -> dict[str, object]:
    """All figures; those of the named score under the first memory rule again on top.

    AUC, AP, EER, RBDC and TBDC are in percent, times in seconds, angles in degrees.
    """
    first = comparison.rules[plan.rules[0]]
    return {
        "bundle": bundle,
        "unit": "percent",
        "score": score,
        "memory_rule": plan.rules[0],
        "fps": plan.fps,
        "event_rules": asdict(plan.events),
        **_figures(first.under(score)),
        "regions": _regions(first),
        "scores": {name: _figures(figures) for name, figures in first.figures.items()},
        "frames": {
            "all": comparison.frames,
            "scored": first.scored,
            "abnormal": comparison.abnormal,
        },
        "memory": _memory(first),
        "memory_rules": {name: _detected(found) for name, found in comparison.rules.items()},
        "baselines": {name: _detected(found) for name, found in comparison.baselines.items()},
    }


def _detected(found: Detected) -> Json:
    result: dict[str, object] = {
        "scores": {name: _figures(figures) for name, figures in found.figures.items()},
        "regions": _regions(found),
    }
    if found.memory is not None:
        result["memory"] = _memory(found)
    if found.start is not None:
        result["ranges_from"] = asdict(found.start)
    return result


def _memory(found: Detected) -> Json | None:
    return None if found.memory is None else asdict(found.memory)


def _regions(found: Detected) -> Json | None:
    if found.regions is None:
        return None
    return {"rbdc": found.regions.rbdc, "tbdc": found.regions.tbdc}


def _figures(figures: Figures) -> Json:
    protocols = by_protocol(figures.evaluation)
    return {
        "auc": {
            name: {"micro": accuracy.micro, "macro": accuracy.macro}
            for name, accuracy in protocols.items()
        },
        "average_precision": {
            name: {"micro": accuracy.average_precision} for name, accuracy in protocols.items()
        },
        "equal_error_rate": {
            name: {"micro": accuracy.equal_error_rate} for name, accuracy in protocols.items()
        },
        "auc_by_kind": {kind.value: auc for kind, auc in figures.kinds.items()},
        "events": {
            "threshold": figures.threshold,
            "at_threshold": _outcome(figures.outcome),
            "at_recall": [
                {
                    "recall": at.recall,
                    "threshold": at.threshold,
                    "outcome": _outcome(at.outcome),
                }
                for at in figures.recalls
            ],
        },
    }


def by_protocol(evaluation: Evaluation) -> dict[str, Accuracy]:
    """Both protocols' figures, by name."""
    return {"offline": evaluation.offline, "causal": evaluation.causal}


def _outcome(outcome: EventOutcome | None) -> Json | None:
    if outcome is None:
        return None
    return {
        "labelled": outcome.labelled,
        "found": outcome.found,
        "median_delay_s": outcome.median_delay_s,
        "false_events": outcome.false_events,
        "normal_hours": outcome.normal_hours,
        "false_events_per_hour": _rate(outcome.false_rate),
    }


def _rate(rate: FalseRate | None) -> Json | None:
    return None if rate is None else asdict(rate)
