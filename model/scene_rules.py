"""When the light of a scene has changed, and when a picture isn't the scene's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SceneRules:
    """When the light has changed, and when the picture isn't the scene's; docs/light.md says why.

    Frames are meant at about 10 a second. Shares are of cells, levels of the picture's mean.
    """

    steps: tuple[tuple[int, float], ...] = ((1, 0.04), (3, 0.05), (10, 0.08), (30, 0.15))
    """A cell has changed that differs by so much from so many frames ago."""
    drift: float = 0.06
    """Or from where the light was found last."""
    alike: float = 0.05
    alike_share: float = 0.7
    """As many cells differ by no more from the light that was known first: it is that light, ..."""
    back_share: float = 0.9
    """... and by so many, after a drift that was too slow to be found, it has come back."""
    least_step: float = 2.5
    """In grey levels: less is noise, however dark the picture."""
    light_share: float = 0.5
    """So much of the picture changes with the light."""
    light_fit: float = 0.6
    """And so many of the cells that changed still show their edges: else something is in front."""
    fit: float = 0.2
    """A cell fits whose edges agree so well with the reference, from -1 to 1."""
    contrast: float = 0.35
    """An edge of so much of the picture's mean level counts half."""
    textured: float = 0.05
    """A cell has lasting edges, of so much strength on the average, to be compared by."""
    least_textured: int = 6
    """With fewer such cells nobody can tell where the camera looks."""
    obscured_share: float = 0.25
    """Fewer of them fit: the picture isn't the scene's."""
    clear_share: float = 0.4
    """As many fit: it is again."""
    dim_level: float = 16.0
    covered_detail: float = 0.5
    """Of such a mean level, or with so much of the scene's detail, it is rather covered than
    turned: for the reason that is told."""
    obscured_frames: int = 30
    """So long it has to last before it is told; scores are withheld at once."""
    adopt_frames: int = 6000
    """After so long the new scene is the camera's scene."""
    reference_frames: int = 600
    """The reference's memory."""
    misfit_gain: float = 0.1
    """Cells that don't fit teach it so much less: what stands there may go again."""
    young_frames: int = 30
    """Before it has seen so many frames nothing is compared with it."""
    light_frames: int = 15
    """So many frames in steady light say what it does to the picture."""
    rewarm_frames: int = 40
    """After so many, which also say where errors lie in it, there are scores again."""
    longest_rewarm_frames: int = 300
    """Scores go on after so long, however unsteady the light; no change of it is looked for until
    it has been steady for `rewarm_frames`."""
