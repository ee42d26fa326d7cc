"""Fixtures that several folders share: one tiny lively network, and the committed bundle of it."""

from __future__ import annotations

import os

import pytest

# Before PyTorch is loaded: with two processes of tests on two cores, its threads would spin waiting for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def private_cache(tmp_path_factory):
    """Tests leave the user's cache folder alone, and share one of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def tiny_model():
    """An `AVGN` in evaluation mode, narrow and lively; copy it before changing it."""
    pytest.importorskip("torch")
    from network_makers import lively_model

    return lively_model()


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory):
    """A bundle of `tiny_model` in FP32, neither calibrated nor with an early exit, opened; read only."""
    from tiny_bundle import write_uncalibrated

    return write_uncalibrated(tmp_path_factory.mktemp("tiny") / "bundle")


@pytest.fixture(scope="session", params=["cpu", "openvino:CPU"])
def device(request):
    """Each inference engine that can run on any machine."""
    pytest.importorskip({"cpu": "onnxruntime", "openvino:CPU": "openvino"}[request.param])
    return request.param
