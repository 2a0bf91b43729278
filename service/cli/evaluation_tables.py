"""Makes the tables that `normwatch evaluate` prints, of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table

from model.evaluation.accuracy import Accuracy
from model.evaluation.comparison import Comparison, DetectorFigures, ScoreFigures
from model.evaluation.event_figures import EventOutcome, FalseRate
from model.evaluation.motion_kinds import MotionKind
from service.tools.console_tables import make_table

ACCURACY = ("micro", "macro", "average_precision", "equal_error_rate")
HEADS = ("micro", "macro", "AP", "EER")


def make_tables(comparison: Comparison, bundle: str, score: str) -> Iterator[Table]:
    """Yield tables of frame-level figures, events, places and kinds, and memory rules, if any.

    Args:
        score: the composition of all tables but the first.
    """
    detectors = {bundle: next(iter(comparison.rules.values())), **comparison.baselines}
    yield _make_accuracy_table(detectors)
    if any(found.figures_for(score).recalls for found in detectors.values()):
        yield _make_event_table(detectors, score)
    if any(found.regions for found in detectors.values()):
        yield _make_place_table(detectors, score)
    if len(comparison.rules) > 1:
        yield _make_rule_table(comparison.rules, score)


def _make_accuracy_table(detectors: Mapping[str, DetectorFigures]) -> Table:
    columns = [f"{protocol}\n{head}" for protocol in ("causal", "offline") for head in HEADS]
    table = make_table(
        "AUC, average precision and equal error rate of frames, percent", "", *columns
    )
    for name, found in detectors.items():
        table.add_section()
        table.add_row(name, style="bold")
        for score, figures in found.figures.items():
            both = figures.evaluation.causal, figures.evaluation.offline
            table.add_row(f"  {score}", *_format_percents(both[0]), *_format_percents(both[1]))
    return table


def _format_percents(accuracy: Accuracy) -> list[str]:
    return [_format_number(getattr(accuracy, name)) for name in ACCURACY]


def _format_number(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _make_event_table(detectors: Mapping[str, DetectorFigures], score: str) -> Table:
    table = make_table(
        f"Events of the score {score}, causal",
        *("", "threshold", "found", "false", "an hour (95 % interval)", "median delay"),
    )
    for name, found in detectors.items():
        figures = found.figures_for(score)
        table.add_section()
        table.add_row(_format_title(name, found, score), style="bold")
        for label, threshold, outcome in _list_operating_points(figures):
            table.add_row(f"  {label}", _format_number(threshold, 3), *_format_outcome(outcome))
    return table


def _format_title(name: str, found: DetectorFigures, score: str) -> str:
    nearest = found.nearest_score(score)
    return name if nearest == score else f"{name}, {nearest}"


def _list_operating_points(
    figures: ScoreFigures,
) -> Iterator[tuple[str, float | None, EventOutcome | None]]:
    yield "at its own threshold", figures.threshold, figures.outcome
    for at in figures.recalls:
        yield f"at event recall {at.recall:.2f}", at.threshold, at.outcome


def _format_outcome(outcome: EventOutcome | None) -> tuple[str, str, str, str]:
    if outcome is None:
        return "n/a", "n/a", "n/a", "n/a"
    delay = outcome.median_delay_s
    return (
        f"{outcome.found}/{outcome.labelled}",
        str(outcome.false_events),
        _format_rate(outcome.false_rate),
        "n/a" if delay is None else f"{delay:.1f} s",
    )


def _format_rate(rate: FalseRate | None) -> str:
    if rate is None:
        return "n/a"
    if rate.rule_of_three:
        return f"0 (below {rate.high:.1f})"
    return f"{rate.per_hour:.1f} ({rate.low:.1f} to {rate.high:.1f})"


def _make_place_table(detectors: Mapping[str, DetectorFigures], score: str) -> Table:
    table = make_table(
        f"Where the error is, and causal AUC of the score {score} by kind of anomaly, percent",
        *("", "RBDC", "TBDC", *(f"AUC {kind.value}" for kind in MotionKind)),
    )
    for name, found in detectors.items():
        regions, kinds = found.regions, found.figures_for(score).kinds
        table.add_row(
            _format_title(name, found, score),
            _format_number(regions.rbdc if regions else None),
            _format_number(regions.tbdc if regions else None),
            *(_format_number(kinds.get(kind)) for kind in MotionKind),
        )
    return table


def _make_rule_table(rules: Mapping[str, DetectorFigures], score: str) -> Table:
    table = make_table(
        f"Memory rules, score {score}",
        *("", "updated", "farthest item", "causal AUC", "offline AUC"),
        "false an hour at recall 0.95",
    )
    for name, found in rules.items():
        figures, memory = found.figures_for(score), found.memory
        table.add_row(
            name,
            f"{memory.updated_share:.1%}" if memory else "n/a",
            f"{memory.drift_deg:.1f}°" if memory else "n/a",
            _format_number(figures.evaluation.causal.micro, 2),
            _format_number(figures.evaluation.offline.micro, 2),
            _format_rate_at(figures, 0.95),
        )
    return table


def _format_rate_at(figures: ScoreFigures, recall: float) -> str:
    for at in figures.recalls:
        if at.recall == recall and at.outcome is not None:
            return _format_rate(at.outcome.false_rate)
    return "n/a"
