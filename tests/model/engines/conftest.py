"""A form's networks, compiled once for all tests of a module."""

from __future__ import annotations

import pytest

from model.bundles.bundle import Bundle
from model.engines.engine import Engine
from model.engines.names import EngineName
from tests.model.engines.programs import FORMS, engine, lively_bundle


@pytest.fixture(scope="module", params=FORMS)
def bundle(request: pytest.FixtureRequest) -> Bundle:
    """One of each form."""
    return lively_bundle(FORMS[request.param])


@pytest.fixture(scope="module")
def exact(bundle: Bundle) -> Engine:
    """The engine that the others are compared with."""
    return engine(EngineName.TORCH_FP32, bundle)


@pytest.fixture(scope="module")
def openvino(bundle: Bundle) -> Engine:
    """The same in OpenVINO, on three threads."""
    return engine(EngineName.OPENVINO_FP32, bundle, threads=3)
