"""When the light of a scene has changed, and when a picture isn't the scene's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SceneRules:
    """When the light has changed, and when the picture isn't the scene's; docs/light.md says why.

    Frames are meant at about 10 a second. Shares are of cells, levels of the picture's mean.
    """

    steps: tuple[tuple[int, float], ...] = ((1, 0.04), (3, 0.05), (10, 0.08), (30, 0.15))
    """Pairs: a cell has changed if it differs from that many frames ago by more than that share."""
    drift: float = 0.06
    """A cell has drifted if it differs by more from where the light was measured last."""
    alike: float = 0.05
    """A cell is in the known light if it differs by no more from the light that was known first."""
    alike_share: float = 0.7
    """With this share of the cells in the known light, frames aren't relit."""
    back_share: float = 0.9
    """With this share, after a drift that was too slow to be found, the known light is back."""
    least_step: float = 2.5
    """Less, in grey levels, is noise, however dark the picture is."""
    light_share: float = 0.5
    """A change of the light changes at least this share of the picture."""
    light_fit: float = 0.6
    """At least this share of the changed cells still show their edges: else something is in front
    of them."""
    fit: float = 0.2
    """A cell fits if its edges agree with the reference at least this well, from -1 to 1."""
    contrast: float = 0.35
    """An edge that is as strong as this share of the picture's mean level has length 1/2."""
    textured: float = 0.05
    """A cell has lasting edges if their mean length is at least this."""
    least_textured: int = 6
    """With fewer such cells, edges can't say where the camera points."""
    obscured_share: float = 0.25
    """If fewer of them fit, the picture isn't the scene's."""
    clear_share: float = 0.4
    """If as many fit, it is the scene's again."""
    dim_level: float = 16.0
    """A camera with a darker picture is called covered, not turned, in the status message."""
    covered_detail: float = 0.5
    """So is one with less than this share of the scene's detail."""
    obscured_frames: int = 30
    """The status says so after this many frames; scores are withheld at once."""
    adopt_frames: int = 6000
    """After this many frames, the new scene is the camera's scene."""
    reference_frames: int = 600
    """The reference averages over about this many frames."""
    misfit_gain: float = 0.1
    """Cells that don't fit are learned this much more slowly: what stands there may leave again."""
    young_frames: int = 30
    """Nothing is compared with the scene before it has been seen for this many frames."""
    light_frames: int = 15
    """The effect of the light is measured over this many frames in steady light."""
    rewarm_frames: int = 40
    """After this many frames in steady light, which also show the errors in it, scores go on."""
    longest_rewarm_frames: int = 300
    """Scores go on after this many frames, however unsteady the light is. No change of it is looked
    for until it has been steady for `rewarm_frames`."""
