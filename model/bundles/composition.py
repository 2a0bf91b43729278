"""The record of how a bundle's score was composed, for its document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class CompositionCandidate:
    """One composition, and how well it found synthetic anomalies."""

    score: str
    """The name of the score."""
    judgement_weight: float
    """κ; 0 leaves the judgement out."""
    auc: float
    """Causal AUC in percent: the mean over the kinds."""
    lead_low: float
    """Its lead over the default in points: the lower end of the 95 % interval over scenes."""
    kinds: Mapping[str, float] = field(default_factory=dict)
    """AUC of each kind of synthetic anomaly."""


@dataclass(frozen=True, slots=True)
class Composition:
    """The choice among compositions of a score."""

    judgement_weight: float
    """κ of the chosen one."""
    default_weight: float
    """κ of the default."""
    scenes: int
    """Scenes with a synthetic anomaly; 0 where the footage was too short."""
    frames: int
    candidates: tuple[CompositionCandidate, ...] = ()

    def describe(self) -> str:
        """Describe the choice in a sentence."""
        if not self.candidates:
            return (
                f"The held-out footage is too short to compare scores: the judgement has its usual "
                f"weight, {self.default_weight:g}."
            )
        by_weight = {each.judgement_weight: each for each in self.candidates}
        chosen, usual = by_weight[self.judgement_weight], by_weight[self.default_weight]
        best = max(self.candidates, key=lambda each: each.auc)
        found = f"in {self.scenes} scenes with synthetic anomalies"
        if chosen != usual:
            share = (
                "is left out of the score"
                if not chosen.judgement_weight
                else f"has a weight of {chosen.judgement_weight:g}"
            )
            return (
                f"The judgement {share}: {found} the AUC is {chosen.auc:.1f} so, and "
                f"{usual.auc:.1f} with the usual weight of {usual.judgement_weight:g}."
            )
        if best == usual:
            return (
                f"The judgement has its usual weight, {usual.judgement_weight:g}: {found} its AUC "
                f"is the best, {usual.auc:.1f}."
            )
        return (
            f"The judgement has its usual weight, {usual.judgement_weight:g}: {found} the AUC is "
            f"{usual.auc:.1f}, and the best, {best.auc:.1f}, leads by too little."
        )
