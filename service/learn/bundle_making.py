"""Makes a bundle of a finished training run: provenance, calibration, 8-bit ranges."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from model.bundles.bundle import Bundle
from model.bundles.calibration_config import Calibration
from model.bundles.catalog import Provenance
from model.engines.choice import LEAST_RANK_CORRELATION
from model.engines.engine import EngineError
from model.footage.clips import Clip
from model.scoring.score_config import JUDGED, LIVE
from model.training.bundle_calibration import calibrate
from model.training.bundle_quantisation import quantise_bundle
from model.training.trainer import Training

Setting = str | int | float | bool | None


def make_provenance(
    run: Training,
    held_out: Sequence[Clip],
    sources: Sequence[str],
    rate: float | None,
    settings: Mapping[str, Setting],
) -> Provenance:
    """Describe where a bundle comes from.

    Args:
        sources: names of the footage, without credentials.
        rate: frames a second of the footage.
        settings: more than those of the run.
    """
    config = run.config
    own: dict[str, Setting] = {
        "start": run.start.bundle if run.start else None,
        "batch": config.batch,
        "learning_rate": config.learning_rate,
        "warmup": config.warmup,
        "crop": config.windows.crop,
        "flip": config.windows.flip,
        "pseudo_anomalies": config.windows.pseudo is not None,
    }
    return Provenance(
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        sources=tuple(sources),
        frames=run.windows.frames,
        held_out_frames=sum(map(len, held_out)),
        frame_rate=rate,
        epochs=run.epochs,
        steps=run.step,
        seed=config.seed,
        training_s=round(run.elapsed_s, 1),
        settings=own | dict(settings),
    )


def make_bundle(
    run: Training,
    held_out: Sequence[Clip],
    name: str,
    origin: Provenance,
    say: Callable[[str], object],
) -> Bundle:
    """Calibrate a finished run's network on held-out footage, with 8-bit ranges where they can be
    measured.

    Args: say: gets lines for the user.
    Raises: ValueError: the footage is too short for one measure.
    """
    say("measuring the held-out footage")
    trained = Bundle(
        name=name,
        config=run.net,
        network=run.network.eval().requires_grad_(False),
        items=run.items.detach(),
        calibration=Calibration(error_form=run.config.error_form),
        score=JUDGED if run.net.judges else LIVE,
        provenance=origin,
    )
    calibrated = calibrate(trained, held_out)
    if calibrated.provenance.composition is not None:
        say(calibrated.provenance.composition.describe())
    return _quantise(calibrated, held_out, say)


def _quantise(bundle: Bundle, held_out: Sequence[Clip], say: Callable[[str], object]) -> Bundle:
    """Add 8-bit ranges where OpenVINO is installed to test them; a bundle works without them."""
    try:
        measured = quantise_bundle(bundle, held_out)
    except (EngineError, ValueError) as error:
        say(f"no 8-bit ranges: {error}")
        return bundle
    say(describe_int8(measured))
    return measured


def describe_int8(bundle: Bundle) -> str:
    """Describe how a bundle's scores in 8 bits agree with those in fp32."""
    if bundle.int8 is None:
        return "no 8-bit ranges"
    found = bundle.int8.rank_correlation
    used = "is used" if found >= LEAST_RANK_CORRELATION else "isn't used"
    return (
        f"8 bits: rank correlation of {bundle.int8.frames} scores with fp32 {found:.4f} "
        f"(at least {LEAST_RANK_CORRELATION}): openvino-int8 {used}"
    )
