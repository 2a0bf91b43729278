"""Whether a camera's picture as a whole still is its scene: the light, and where it looks.

Each frame is compared, much reduced, with a slow reference and a short past: levels tell of the
light, edges (by orientation without sign, whatever their contrast) tell of the place. Causal and
deterministic. After a change of light it finds how to show frames in the light that the network
knows. It knows nothing of scores; `model.detector` acts on what it says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from model.exposure import NONE, Exposure, exposure
from model.frames import Frame
from model.looks import CELLS, SIDE, Edges, Levels, Look, SceneChange, cells, products, reduced
from model.relighting import FIELD, Reduced, Relighting, relighting
from model.scene_rules import SceneRules


class Scene:
    """One camera's scene."""

    def __init__(self, rules: SceneRules) -> None:
        self.rules = rules
        self._reference = np.zeros((2, SIDE, SIDE), np.float32)
        self._seen = 0
        self._unfit = 0
        self._rewarm = 0
        """Frames since the light changed; 0: it hasn't."""
        self._drifted = False
        """The last change was slow, and little."""
        self._restless = False
        """Frames since the light changed became too many; the light hasn't been steady since."""
        self._steady = 0
        """Of the frames since the light changed, those in steady light in a row."""
        self._anchor: Levels | None = None
        """Levels where the light was found last."""
        self._smooth: Levels | None = None
        self._plain: Levels | None = None
        """The same with what the exposure does."""
        self._known = np.zeros((SIDE, SIDE), np.float32)
        """The picture in the light that the network knows."""
        self._known_frames = 0
        self._now = np.zeros((SIDE, SIDE), np.float32)
        """Sum over the steady frames since the light changed."""
        self._lit: Reduced | None = None
        """The picture in the light that `relighting` is for; None: it isn't known (any more)."""
        self.relighting: Relighting | None = None
        """Shows a frame in the light that the network knows; None: it is in that light."""
        self._exposure = NONE
        """The last that could be told."""
        self._past: deque[tuple[Levels, NDArray[np.bool_]]] = deque(
            maxlen=max(lag for lag, _ in rules.steps)
        )

    def cut(self) -> None:
        """Say that the next frame doesn't follow the last one: it is compared with the reference
        and the last light, but not with the frames before, and steady light counts anew."""
        self._past.clear()
        self._smooth = self._plain = None
        self._steady = 0

    def look(self, frame: Frame) -> Look:
        """Compare the camera's next frame; nothing is changed."""
        grey, levels, edges = reduced(frame, self.rules.contrast)
        fits, textured = self._fits(edges)
        exposed = self._exposed(levels, fits)
        enough = textured.sum() >= self.rules.least_textured
        fitting = float(fits[textured].mean()) if enough else None
        plain = Look(grey, exposed.undone(levels), levels, edges, fits, fitting, exposed)
        if self._is_unfit(plain.fitting):
            return self._unfit_look(plain)
        if self._unfit:
            # It fits again: in which light, and after what, has to be found.
            return replace(plain, steady=False, cut=True, warming=True)
        return self._light_look(plain, textured)

    def _fits(self, edges: Edges) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which cells show their lasting edges, and which have such."""
        lasting = cells(products(self._reference, self._reference))
        agreement = cells(products(self._reference, edges))
        # A cosine: faint edges are as good as strong ones, and others beside them count against.
        norm = np.sqrt(lasting * cells(products(edges, edges)))
        fits = np.asarray(agreement > self.rules.fit * norm, np.bool_)
        return fits, np.asarray(lasting > self.rules.textured**2, np.bool_)

    def _exposed(self, levels: Levels, fits: NDArray[np.bool_]) -> Exposure:
        """By the cells whose edges are there: what stands in front says nothing of it."""
        if self._known_frames < self.rules.young_frames:
            return NONE
        normal = self._known if self.relighting is None else self._lit
        if normal is None:
            return NONE
        told = exposure(levels, cells(normal), fits)
        return self._exposure if told is None else told

    def shown(self, frame: Frame, look: Look | None) -> Frame:
        """The frame in the light that the network knows; the same one where it is in that."""
        if look is not None:
            frame = look.exposure.undo(frame)
        return frame if self.relighting is None else self.relighting(frame)

    def _is_unfit(self, fitting: float | None) -> bool:
        if fitting is None or self._seen < self.rules.young_frames:
            return False
        return fitting < (self.rules.clear_share if self._unfit else self.rules.obscured_share)

    def _unfit_look(self, look: Look) -> Look:
        rules, lasted = self.rules, self._unfit + 1
        if lasted >= rules.adopt_frames:
            change = SceneChange(
                f"the picture has been another one for {lasted} frames, and is the scene now"
            )
            return replace(look, change=change, steady=False, cut=True, warming=True, adopted=True)
        if lasted < rules.obscured_frames:
            return replace(look, unfit=True)
        mean, fitting = float(look.levels.mean()), look.fitting or 0.0
        detail = float(np.hypot(*look.edges).mean() / np.hypot(*self._reference).mean())
        dim = mean < rules.dim_level or detail < rules.covered_detail
        obscured = (
            f"{100.0 * fitting:.0f}% of the picture fits the scene, its mean level is {mean:.0f}: "
            f"the camera may be {'covered, or without light' if dim else 'turned, or blocked'}"
        )
        return replace(look, unfit=True, obscured=obscured)

    def _light_look(self, look: Look, textured: NDArray[np.bool_]) -> Look:
        """The same frame, compared with the levels of the past."""
        rules = self.rules
        change, cut = self._step(look, textured)
        steady = change is None
        calm = self._steady + 1 if steady else 0
        if self._restless and calm < rules.rewarm_frames:
            return replace(look, steady=steady, restless=True)
        if self._restless:
            rest = SceneChange(f"the light has come to rest, mean {look.levels.mean():.0f}")
            return replace(look, change=rest, steady=False, warming=True)
        if self._rewarm:
            settled = calm >= rules.rewarm_frames
            too_long = self._rewarm + 1 >= rules.longest_rewarm_frames and not settled
            return replace(
                look,
                steady=steady,
                warming=True,
                relit=calm == rules.light_frames,
                cut=cut or calm == rules.light_frames,
                settled=settled or too_long,
                drifted=self._drifted and steady,
                restless=too_long,
            )
        if change is None and self._anchor is not None:
            told = self._drift(self._smoothed(look.levels), self._anchor, look, textured)
            if told is not None:
                return replace(look, change=told, warming=True, drifted=True)
        return replace(look, change=change, steady=steady, cut=cut, warming=change is not None)

    def _drift(
        self, smooth: Levels, anchor: Levels, look: Look, textured: NDArray[np.bool_]
    ) -> SceneChange | None:
        """A change since the light was found last, or the return to the light that is known."""
        changed = self._changed(smooth, anchor, self.rules.drift)
        if self._is_light(changed, look.fits, textured):
            return SceneChange(_told("drifted", changed, anchor, smooth))
        plain = self._mean(self._plain, look.plain)
        if self.relighting is not None and self._is_known(plain, self.rules.back_share):
            return SceneChange(f"the light is what it was first, mean {plain.mean():.0f}")
        return None

    def _step(self, look: Look, textured: NDArray[np.bool_]) -> tuple[SceneChange | None, bool]:
        """A change since one of the last frames, and whether it was the last."""
        for lag, share in self.rules.steps:
            if len(self._past) < lag:
                break
            before, fitted = self._past[-lag]
            changed = self._changed(look.levels, before, share)
            # What has only just come out from behind something isn't lit anew.
            if self._is_light(changed, look.fits & fitted, textured):
                return SceneChange(_told("changed", changed, before, look.levels)), lag == 1
        return None, False

    def _changed(self, levels: Levels, before: Levels, share: float) -> NDArray[np.bool_]:
        mean = max(float(levels.mean()), float(before.mean()))
        least = max(self.rules.least_step, share * mean)
        return np.asarray(np.abs(levels - before) > least, np.bool_)

    def _is_light(
        self,
        changed: NDArray[np.bool_],
        fits: NDArray[np.bool_],
        textured: NDArray[np.bool_],
    ) -> bool:
        """Whether so much has changed, and what has edges kept them."""
        rules = self.rules
        if self._seen < rules.young_frames or changed.mean() < rules.light_share:
            return False
        compared = changed & textured
        if compared.sum() < rules.least_textured:
            # Nothing to tell by: what covers a wall would change a part of it.
            return bool(changed.mean() >= 0.9)
        return bool(fits[compared].mean() >= rules.light_fit)

    def _smoothed(self, levels: Levels) -> Levels:
        return self._mean(self._smooth, levels)

    @staticmethod
    def _mean(before: Levels | None, levels: Levels) -> Levels:
        return levels if before is None else before + np.float32(0.1) * (levels - before)

    def take_in(self, look: Look) -> None:
        """Make the frame a part of the past."""
        if look.cut and not look.relit:
            self.cut()
        self._exposure = look.exposure
        self._smooth = self._smoothed(look.levels)
        self._plain = self._mean(self._plain, look.plain)
        self._past.append((look.levels, look.fits))
        if look.unfit:
            self._unfit += 1
            self._rewarm = self._steady = 0
            self._restless = False
            return
        if look.adopted:
            self._begin_anew()
        self._unfit = 0
        self._rewarm = self._rewarm + 1 if look.warming and not look.settled else 0
        counted = look.steady and (look.warming or look.restless)
        before = 0 if look.change is not None else self._steady
        self._steady = before + 1 if counted else 0
        self._restless = look.restless
        self._drifted = look.drifted
        self._find_light(look)
        if look.relit:
            # Exposure is told anew from here on: levels before and after don't compare.
            self._past.clear()
            self._smooth = self._plain = None
        self._learn(look)

    def _begin_anew(self) -> None:
        self._seen = self._known_frames = 0
        self._anchor = self.relighting = self._lit = None
        self._exposure = NONE

    def _find_light(self, look: Look) -> None:
        if look.warming:
            self._now = self._now + look.grey if self._steady > 1 else look.grey
        if look.relit:
            now = self._now / np.float32(self._steady)
            self.relighting = self._relighting(now)
            self._lit = None if self.relighting is None else now
        # A restless light keeps the last one that it is compared with once it is steady.
        if (look.settled and not look.restless) or (
            self._anchor is None and self._seen >= self.rules.young_frames
        ):
            self._anchor = self._smooth

    def _relighting(self, now: Reduced) -> Relighting | None:
        if self._known_frames < self.rules.young_frames:
            return None
        is_known = self._is_known(cells(now), self.rules.alike_share)
        return None if is_known else relighting(now, self._known)

    def _is_known(self, levels: Levels, share: float) -> bool:
        differs = self._changed(levels, cells(self._known), self.rules.alike)
        return bool(differs.mean() <= 1.0 - share)

    def _learn(self, look: Look) -> None:
        """Follow the edges, and in the light that is known the levels, slowly; where the picture
        doesn't fit, slower."""
        self._seen += 1
        gains = np.full((CELLS, CELLS), self._gain(self._seen), np.float32)
        if self._seen > self.rules.young_frames:
            gains[~look.fits] *= self.rules.misfit_gain
        step = cv2.resize(gains, (SIDE, SIDE), interpolation=cv2.INTER_NEAREST)
        self._reference += step * (look.edges - self._reference)
        if self.relighting is None and not (look.warming or look.restless):
            self._known_frames += 1
            step = step * np.float32(self._gain(self._known_frames) / self._gain(self._seen))
            self._known += np.minimum(step, 1.0) * (look.exposure.undone(look.grey) - self._known)

    def _gain(self, frames: int) -> float:
        return max(1.0 / frames, 1.0 / self.rules.reference_frames)

    def numbers(self) -> dict[str, int]:
        """What is saved beside `arrays`."""
        return {
            "seen": self._seen,
            "known": self._known_frames,
            "unfit": self._unfit,
            "rewarm": self._rewarm,
            "restless": int(self._restless),
            "drifted": int(self._drifted),
            "relit": int(self.relighting is not None),
        }

    def arrays(self) -> bytes:
        """Edges, the picture in the known light, the levels where the light was found (NaN where
        it wasn't), then gains and tones of the relighting, if there is one."""
        anchor = np.full((CELLS, CELLS), np.nan) if self._anchor is None else self._anchor
        parts = [each.astype("<f4").tobytes() for each in (self._reference, self._known, anchor)]
        if self.relighting is not None:
            parts += [self.relighting.gains.astype("<f4").tobytes()]
            parts += [self.relighting.tones.tobytes()]
        return b"".join(parts)

    def restore(self, numbers: Mapping[str, int], arrays: bytes) -> None:
        """Take back what `numbers` and `arrays` gave; the next frame is one after a cut.

        Raises: ValueError: of another size, or not finite; nothing was taken in.
        """
        try:
            seen, known, unfit, rewarm, restless, drifted, relit = (
                int(numbers[name])
                for name in ("seen", "known", "unfit", "rewarm", "restless", "drifted", "relit")
            )
        except KeyError as missing:
            raise ValueError(f"a saved scene lacks {missing}") from None
        if min(seen, known, unfit, rewarm) < 0:
            raise ValueError("a saved scene's numbers are below 0")
        if len(arrays) != saved_size(relit=bool(relit)):
            raise ValueError(f"a saved scene of {len(arrays)} bytes")
        count = 3 * SIDE * SIDE + CELLS * CELLS
        values = np.frombuffer(arrays, "<f4", count).astype(np.float32)
        edges, picture, anchor = np.split(values, [2 * SIDE * SIDE, 3 * SIDE * SIDE])
        gains = np.frombuffer(arrays, "<f4", FIELD * FIELD if relit else 0, 4 * count)
        if not all(np.isfinite(each).all() for each in (edges, picture, gains)):
            raise ValueError("a saved scene's numbers are not finite")
        self._reference = edges.reshape(2, SIDE, SIDE).copy()
        self._known = picture.reshape(SIDE, SIDE).copy()
        self._anchor = anchor.reshape(CELLS, CELLS).copy() if np.isfinite(anchor).all() else None
        self._seen, self._known_frames = seen, known
        self._unfit, self._rewarm, self._steady = unfit, rewarm, 0
        self._restless, self._drifted = bool(restless), bool(drifted)
        tones = np.frombuffer(arrays[-256:], np.uint8)
        self.relighting = (
            Relighting(tones.copy(), gains.reshape(FIELD, FIELD).astype(np.float32))
            if relit
            else None
        )
        self.cut()


def saved_size(*, relit: bool) -> int:
    """Bytes of `Scene.arrays`."""
    return 4 * (3 * SIDE * SIDE + CELLS * CELLS) + (4 * FIELD * FIELD + 256 if relit else 0)


def _told(what: str, changed: NDArray[np.bool_], before: Levels, after: Levels) -> str:
    return (
        f"the light {what}: {100.0 * changed.mean():.0f}% of the picture, "
        f"mean {before.mean():.0f} → {after.mean():.0f}"
    )
