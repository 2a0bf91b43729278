"""Writes the results of all cameras as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scripts.cameras.camera_list import AucFigure, CameraResult, ScoreResult, sort_results


def make_tables(results: Sequence[CameraResult]) -> str:
    """Make the tables, the worst camera first: AUCs of all scores, then the chosen one's events."""
    ordered = sort_results(results)
    names = list(dict.fromkeys(name for each in ordered for name in each.scores))
    return "\n".join(
        [
            *_make_table(
                ["camera", "κ chosen", *names],
                [
                    [
                        _format_name(each),
                        _format_weight(each),
                        *(_format_causal(each.scores.get(n)) for n in names),
                    ]
                    for each in ordered
                ],
            ),
            "",
            *_make_table(
                ["camera", "offline AUC", "events found", "false", "RBDC", "clips", "frames"],
                [_describe(each) for each in ordered],
            ),
            "",
        ]
    )


def _make_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"


def _format_name(result: CameraResult) -> str:
    return f"{result.entry.name}{', synthetic' if result.synthetic else ''}"


def _format_weight(result: CameraResult) -> str:
    return "" if result.composition is None else f"{result.composition.judgement_weight:g}"


def _format_causal(score: ScoreResult | None) -> str:
    return _format_auc(score.causal if score else None)


def _format_auc(interval: AucFigure | None) -> str:
    if interval is None:
        return ""
    return f"{interval.auc:.1f} ({interval.low:.0f} to {interval.high:.0f})"


def _describe(result: CameraResult) -> list[str]:
    chosen = result.scores["chosen"]
    return [
        _format_name(result),
        _format_auc(chosen.offline),
        "" if chosen.found is None else f"{chosen.found} of {chosen.labelled}",
        "" if chosen.false is None else str(chosen.false),
        "" if chosen.rbdc is None else f"{chosen.rbdc:.1f}",
        str(result.clips),
        str(result.frames),
    ]
