"""Converts a comparison to JSON values; `docs/evaluation.md` documents them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from model.evaluation.accuracy import Accuracy
from model.evaluation.comparison import Comparison, DetectorFigures, Plan, ScoreFigures
from model.evaluation.event_figures import EventOutcome, FalseRate
from model.evaluation.protocol import Evaluation

Json = Mapping[str, object]


def to_json(comparison: Comparison, plan: Plan, *, bundle: str, score: str) -> dict[str, object]:
    """Convert all figures; those of the named score under the first memory rule lead.

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
        **_figures_json(first.figures_for(score)),
        "regions": _regions_json(first),
        "scores": {name: _figures_json(figures) for name, figures in first.figures.items()},
        "frames": {
            "all": comparison.frames,
            "scored": first.scored,
            "abnormal": comparison.abnormal,
        },
        "memory": _memory_json(first),
        "memory_rules": {name: _detector_json(found) for name, found in comparison.rules.items()},
        "baselines": {name: _detector_json(found) for name, found in comparison.baselines.items()},
    }


def _detector_json(found: DetectorFigures) -> Json:
    result: dict[str, object] = {
        "scores": {name: _figures_json(figures) for name, figures in found.figures.items()},
        "regions": _regions_json(found),
    }
    if found.memory is not None:
        result["memory"] = _memory_json(found)
    if found.start is not None:
        result["ranges_from"] = asdict(found.start)
    return result


def _memory_json(found: DetectorFigures) -> Json | None:
    return None if found.memory is None else asdict(found.memory)


def _regions_json(found: DetectorFigures) -> Json | None:
    if found.regions is None:
        return None
    return {"rbdc": found.regions.rbdc, "tbdc": found.regions.tbdc}


def _figures_json(figures: ScoreFigures) -> Json:
    protocols = group_by_protocol(figures.evaluation)
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
            "at_threshold": _outcome_json(figures.outcome),
            "at_recall": [
                {
                    "recall": at.recall,
                    "threshold": at.threshold,
                    "outcome": _outcome_json(at.outcome),
                }
                for at in figures.recalls
            ],
        },
    }


def group_by_protocol(evaluation: Evaluation) -> dict[str, Accuracy]:
    """Return both protocols' figures, by name."""
    return {"offline": evaluation.offline, "causal": evaluation.causal}


def _outcome_json(outcome: EventOutcome | None) -> Json | None:
    if outcome is None:
        return None
    return {
        "labelled": outcome.labelled,
        "found": outcome.found,
        "median_delay_s": outcome.median_delay_s,
        "false_events": outcome.false_events,
        "normal_hours": outcome.normal_hours,
        "false_events_per_hour": _rate_json(outcome.false_rate),
    }


def _rate_json(rate: FalseRate | None) -> Json | None:
    return None if rate is None else asdict(rate)
