"""`service` imports `model`, never the other way; and the names that others may use."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import model

ROOT = Path(model.__file__).parent
TORCHLESS = (
    "catalog",
    "config",
    "cost",
    "datasets",
    "engines.names",
    "events",
    "footage",
    "frames",
    "exposure",
    "labels",
    "looks",
    "masks",
    "peaks",
    "relighting",
    "rules",
    "scene",
    "scene_rules",
    "zones",
    "tails",
)

PUBLIC = {
    "observation": {"CameraOptions", "Observation"},
    "peaks": {"LARGEST", "PeakFinder", "magnitude", "peaks", "score_of"},
    "tails": {
        "COVERED", "DAY_S", "Found", "LEAST_PEAKS", "LEAST_THRESHOLD", "MOST_DISPERSION",
        "MOST_THRESHOLD", "SHAPE_DEVIATION", "SHAPE_LIMIT", "SHAPE_MEAN", "Stretch", "TAIL_SHARE",
        "Tail", "TooFew", "find_threshold",
    },
    "bundle": {"Bundle", "ITEMS", "load", "save"},
    "calibration": {
        "GATE_QUANTILE", "LEAST_MEASURED", "LEAST_THRESHOLD", "THRESHOLD_MARGIN", "calibrate",
        "causal_scores", "measure", "normal_range", "split", "threshold",
    },
    "camera_state": {"CameraState", "STATE_MAGIC", "StateHeader", "parse_state"},
    "catalog": {
        "BundleDocument", "BundleError", "BundleInfo", "DOCUMENT", "Provenance", "SHIPPED",
        "WEIGHTS", "available", "find", "read_document",
    },
    "config": {
        "Calibration", "DOWNSCALE", "ErrorForm", "ErrorKind", "ErrorStep", "JUDGED", "LIVE",
        "LEAST_SIDE", "MEMORY_ITEMS", "PATCHES", "InputRange", "Int8",
        "MemoryKind", "NetConfig", "NormalRange", "Normalisation", "NormalisationKind", "PAPER",
        "PsnrPeak", "SCORES", "ScoreConfig", "Span", "Task", "compositions",
    },
    "cost": {"Cost", "KERNEL", "LayerCost", "Part", "Precision", "Work", "cost"},
    "datasets": {"FOLDERS", "Layout", "TestClip", "load"},
    "detector": {"Detector", "wanted_of"},
    "engines.choice": {
        "CPUINFO", "Choice", "LEAST_RANK_CORRELATION", "Processor", "ROUNDS", "SLOW_S",
        "available", "choose", "frame_seconds", "open_engine", "processor", "program", "refusals",
        "require",
    },
    "engines.engine": {
        "Engine", "EngineError", "EngineOutput", "FrameStack", "Program", "Shown",
    },
    "engines.names": {"EngineName"},
    "engines.exactness": {
        "COMPARED_FRAMES", "LEAST_COMPARED", "RANGE_FRAMES", "quantise",
        "rank_correlation", "scores",
    },
    "engines.forms": {"COLUMNS", "Cells", "LiveNetwork", "Measuring", "Wanted", "example"},
    "engines.narrowing": {"narrowed", "zoned"},
    "engines.openvino_engine": {"Arrays", "OpenVinoEngine", "PRECISIONS", "Work", "runtime"},
    "engines.quantisation": {
        "FIRST", "LEAST_RANGE", "LEVELS", "RANGE_QUANTILE", "WEIGHT_LEVELS",
        "convolution_names", "convolutions", "measured_ranges", "quantised",
    },
    "engines.torch_engine": {"BATCHES", "CudaEngine", "HALVES", "TorchEngine"},
    "evaluation.accuracy": {"Accuracy", "Labels", "Scores", "accuracy", "auc"},
    "evaluation.baselines": {
        "Baseline", "DIFFERENCE", "Foreground", "FrameDifference", "MOG2", "Pictures",
        "START_FRAMES", "Setup", "Start", "Watched", "baselines", "watch",
    },
    "evaluation.comparison": {
        "Comparison", "Detected", "Figures", "MemoryUse", "Plan", "compare", "frames_to_see",
    },
    "evaluation.heat": {"HeatMaps", "heat_maps"},
    "evaluation.passes": {"Pass", "Rows", "run"},
    "evaluation.replay": {"Moment", "replay", "telling_frame"},
    "evaluation.report": {"Json", "by_protocol", "to_json"},
    "evaluation.truth": {"Truth", "truth"},
    "evaluation.plots": {
        "ABNORMAL", "BASELINES", "CURVE", "OTHER", "plot_evaluation", "plot_moment", "plot_scores",
    },
    "evaluation.protocol": {
        "Evaluation", "ScoredClip", "evaluation", "offline_scores", "smooth",
    },
    "evaluation.events": {
        "Alarm", "AtRecall", "CONFIDENCE", "EventOutcome", "FalseRate", "LabelledEvent", "RECALLS",
        "TOLERANCE_S", "alarms", "false_events_at_recall", "false_rate", "match", "outcome",
        "spans",
    },
    "evaluation.kinds": {
        "ClipKinds", "EVERY_FRAMES", "FLOW_SIZE", "Kind", "Kinds", "MOVING_PX",
        "NORMAL_QUANTILE", "kinds",
    },
    "evaluation.regions": {
        "Criteria", "HIT_IOU", "Heat", "OperatingPoint", "THRESHOLDS", "TRACK_SHARE",
        "area_to_one", "detection_criteria",
    },
    "evaluation.tracks": {
        "Boxes", "LEAST_PIXELS", "LINK_IOU", "Track", "component_boxes", "follow",
        "intersection_over_union",
    },
    "events": {
        "Change", "Detection", "Event", "EventEnded", "EventRules", "EventStarted", "Region",
        "ScoredFrame", "close", "observe", "observe_all",
    },
    "exposure": {
        "ALIKE", "Exposure", "FREE", "Grey", "LEAST_CELLS", "LEAST_LEVEL", "MOST", "NONE", "PRIOR",
        "ROUNDS", "SLOPES", "UNCHANGED", "exposure",
    },
    "footage": {
        "Clip", "EARLY_S", "FootageError", "FrameStore", "IMAGE_SUFFIXES", "OPEN_TIMEOUT_S",
        "Sampling", "Source", "URL", "discover", "fitted", "frame_count",
        "frame_rate", "frame_store", "has_colour", "hide_credentials", "images", "natural_key",
        "pictures", "split_userinfo",
    },
    "frames": {"Frame", "FrameShape", "Picture", "fit", "is_grey"},
    "labels": {
        "FrameLabels", "LABELS", "LabelError", "read_array", "read_flags", "read_labels",
        "read_spans",
    },
    "legacy": {"POOLING", "upgraded"},
    "looks": {
        "CELLS", "Edges", "Levels", "Look", "SIDE", "SceneChange", "cells", "products", "reduced",
    },
    "losses": {
        "JUDGEMENT_BALANCE", "LossParts", "LossTerms", "LossWeights", "compactness_loss",
        "frame_loss", "judgement_loss", "separateness_loss", "total_loss",
    },
    "masks": {
        "CELLS", "MATLAB_LIMIT_S", "Masks", "Reader", "array_masks", "frame_flags", "image_masks",
        "matlab_masks", "no_masks", "reader",
    },
    "matlab_reader": {"main"},
    "measures": {
        "LEAST_MEAN_SQUARE", "LEAST_PEAK", "error_map", "gate_error", "norm", "psnr",
        "query_distance", "require_finite",
    },
    "memae": {"ENTROPY_WEIGHT", "addressing", "entropy", "initial_items", "read", "total_loss"},
    "memories": {"MemaeMemory", "Memory", "MnadMemory", "memory_of"},
    "memory": {
        "initial_items", "nearest", "read", "select", "similarity", "update", "usage",
    },
    "network": {"Decoder", "Encoder", "MemoryNetwork", "build", "folded"},
    "ranges": {"QuantileRange", "Range", "RunningRange", "running_range"},
    "reference": {
        "APPEARANCE_WEIGHT", "GAMMA", "HOW_TO_SAVE", "ItemsError", "PARTS", "Reading",
        "WeightsError", "convert", "read_items", "read_weights", "reference_name",
        "reference_score",
    },
    "reference_form": {"COLUMNS", "REFERENCE_CONFIG", "ReferenceForm"},
    "relighting": {
        "ALIKE", "FIELD", "KNOTS", "MOST_GAIN", "Reduced", "Relighting", "relighting",
    },
    "rules": {
        "LIVE_UPDATE", "Learning", "PAPER_UPDATE", "Passed", "UPDATE_RULES", "UpdateRule", "passed",
    },
    "scene": {"Scene", "saved_size"},
    "scene_rules": {"SceneRules"},
    "score": {
        "ALARM_FRAMES", "ALARM_SHARE", "DISTANCE", "EASE_FRAMES", "EASE_MARGIN", "LEAST_SPAN",
        "MOST_DRIFT", "MOST_SHIFT", "MOST_WIDER", "Measures", "Scorer",
        "USUAL", "USUAL_FRAMES", "USUAL_START", "error_map", "frame_error",
        "pool_cells", "pool_top",
    },
    "training": {
        "CHECKPOINT_VERSION", "JUDGEMENT_WEIGHT", "PRESETS", "Preset", "Progress", "TrainConfig",
        "Training", "TrainingError", "cpu_has_bf16", "default_weights",
    },
    "updates": {"angles_deg", "learned", "recalled", "updated", "within"},
    "cutouts": {
        "Alpha", "Box", "CHUNK_FRAMES", "Cutout", "FOREGROUND_LEVELS", "MOST_CUTOUTS", "Mask",
        "Moving", "Picture", "RIGID_CORRELATION", "Stock", "background", "fade", "foreground",
        "grey", "largest", "soft",
    },
    "pasting": {"Thing", "drawn_shape", "mirror", "paste", "put_on", "velocity"},
    "pseudo_anomalies": {
        "Composed", "KIND_SHARES", "Kind", "PseudoAnomalies", "PseudoConfig",
    },
    "windows": {
        "Batch", "LOOK_SHARE", "MOST_REPEATS", "NEAR_FRAMES", "PAST_EDGE", "WindowConfig",
        "Windows",
    },
    "zones": {
        "Box", "LEAST_SHARE", "Polygon", "SUBPIXEL_BITS", "WatchedPart", "area", "region_of",
        "watched_part",
    },
}  # fmt: skip


def _imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def _defined(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_the_model_knows_nothing_of_the_service() -> None:
    files = sorted(ROOT.glob("**/*.py"))
    assert files
    for file in files:
        assert not _imported(file) & {"service", "tests", "fastapi", "redis", "sqlalchemy"}, file


def test_public_names_are_those_that_others_may_use() -> None:
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in ROOT.glob("**/*.py")
        if path.stem != "__init__"
    }
    assert {name: _defined(path) for name, path in modules.items()} == PUBLIC


def test_bundles_and_footage_are_read_without_torch() -> None:
    code = "import sys; " + "; ".join(f"import model.{name}" for name in TORCHLESS)
    code += "; from model.catalog import available; available(); print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True, text=True, check=True, cwd=ROOT.parent,
    )  # fmt: skip
    assert done.stdout.strip() == "False"
