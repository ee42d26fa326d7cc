"""Fixtures that several folders share: one tiny lively network, exported once."""

from __future__ import annotations

import pytest


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
def tiny_export(tiny_model, tmp_path_factory):
    """The `Export` of `tiny_model`: the bundle that was written, without early exit, and the table of its graphs."""
    pytest.importorskip("onnx")
    from avgn_edge.export.export import export_bundle

    return export_bundle(tiny_model, tmp_path_factory.mktemp("tiny") / "bundle", name="tiny", confidence=None)


@pytest.fixture(scope="session")
def tiny_bundle(tiny_export):
    """A bundle of `tiny_model`, opened; read only."""
    return tiny_export.bundle


@pytest.fixture(scope="session", params=["cpu", "openvino:CPU"])
def device(request):
    """Each inference engine that can run on any machine."""
    pytest.importorskip({"cpu": "onnxruntime", "openvino:CPU": "openvino"}[request.param])
    return request.param
