"""What `normwatch evaluate` prints: tables of at most 100 columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich import box
from rich.table import Table

from model.evaluation.accuracy import Accuracy
from model.evaluation.comparison import Comparison, Detected, Figures
from model.evaluation.events import EventOutcome, FalseRate
from model.evaluation.kinds import Kind

ACCURACY = ("micro", "macro", "average_precision", "equal_error_rate")
HEADS = ("micro", "macro", "AP", "EER")


def tables(comparison: Comparison, bundle: str, score: str) -> Iterator[Table]:
    """Frame-level figures, events, places and kinds, and memory rules, as far as there are any.

    Args:
        score: the composition that the tables after the first are of.
    """
    detectors = {bundle: next(iter(comparison.rules.values())), **comparison.baselines}
    yield _accuracy(detectors)
    if any(found.under(score).recalls for found in detectors.values()):
        yield _events(detectors, score)
    if any(found.regions for found in detectors.values()):
        yield _places(detectors, score)
    if len(comparison.rules) > 1:
        yield _rules(comparison.rules, score)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left", no_wrap=index > 0)
    return table


def _accuracy(detectors: Mapping[str, Detected]) -> Table:
    columns = [f"{protocol}\n{head}" for protocol in ("causal", "offline") for head in HEADS]
    table = _table("AUC, average precision and equal error rate of frames, percent", "", *columns)
    for name, found in detectors.items():
        table.add_section()
        table.add_row(name, style="bold")
        for score, figures in found.figures.items():
            both = figures.evaluation.causal, figures.evaluation.offline
            table.add_row(f"  {score}", *_percents(both[0]), *_percents(both[1]))
    return table


def _percents(accuracy: Accuracy) -> list[str]:
    return [_number(getattr(accuracy, name)) for name in ACCURACY]


def _number(value: float | None, digits: int = 1) -> str:
    return "n/a" if value is None else f"{value:.{digits}f}"


def _events(detectors: Mapping[str, Detected], score: str) -> Table:
    table = _table(
        f"Events of the score {score}, causal",
        "",
        "threshold",
        "found",
        "false",
        "an hour (95 % interval)",
        "median delay",
    )
    for name, found in detectors.items():
        figures = found.under(score)
        table.add_section()
        table.add_row(_titled(name, found, score), style="bold")
        for label, threshold, outcome in _operating(figures):
            table.add_row(f"  {label}", _number(threshold, 3), *_outcome(outcome))
    return table


def _titled(name: str, found: Detected, score: str) -> str:
    nearest = found.nearest(score)
    return name if nearest == score else f"{name}, {nearest}"


def _operating(figures: Figures) -> Iterator[tuple[str, float | None, EventOutcome | None]]:
    yield "at its own threshold", figures.threshold, figures.outcome
    for at in figures.recalls:
        yield f"at event recall {at.recall:.2f}", at.threshold, at.outcome


def _outcome(outcome: EventOutcome | None) -> tuple[str, str, str, str]:
    if outcome is None:
        return "n/a", "n/a", "n/a", "n/a"
    delay = outcome.median_delay_s
    return (
        f"{outcome.found}/{outcome.labelled}",
        str(outcome.false_events),
        _rate(outcome.false_rate),
        "n/a" if delay is None else f"{delay:.1f} s",
    )


def _rate(rate: FalseRate | None) -> str:
    if rate is None:
        return "n/a"
    if rate.rule_of_three:
        return f"0 (below {rate.high:.1f})"
    return f"{rate.per_hour:.1f} ({rate.low:.1f} to {rate.high:.1f})"


def _places(detectors: Mapping[str, Detected], score: str) -> Table:
    table = _table(
        f"Where the error is, and causal AUC of the score {score} by kind of anomaly, percent",
        "",
        "RBDC",
        "TBDC",
        *(f"AUC {kind.value}" for kind in Kind),
    )
    for name, found in detectors.items():
        regions, kinds = found.regions, found.under(score).kinds
        table.add_row(
            _titled(name, found, score),
            _number(regions.rbdc if regions else None),
            _number(regions.tbdc if regions else None),
            *(_number(kinds.get(kind)) for kind in Kind),
        )
    return table


def _rules(rules: Mapping[str, Detected], score: str) -> Table:
    table = _table(
        f"Memory rules, score {score}",
        "",
        "updated",
        "farthest item",
        "causal AUC",
        "offline AUC",
        "false an hour at recall 0.95",
    )
    for name, found in rules.items():
        figures, memory = found.under(score), found.memory
        table.add_row(
            name,
            f"{memory.updated_share:.1%}" if memory else "n/a",
            f"{memory.drift_deg:.1f}°" if memory else "n/a",
            _number(figures.evaluation.causal.micro, 2),
            _number(figures.evaluation.offline.micro, 2),
            _rate_at(figures, 0.95),
        )
    return table


def _rate_at(figures: Figures, recall: float) -> str:
    for at in figures.recalls:
        if at.recall == recall and at.outcome is not None:
            return _rate(at.outcome.false_rate)
    return "n/a"
