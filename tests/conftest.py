"""Fixtures that several folders share: one tiny lively network, exported once."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

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
    """The `Export` of `tiny_model`: the bundle that was written, without early exit, and the table of its graphs.

    One run of the suite is many processes, and exporting takes most of a minute: they share the first one's in a folder
    that the Makefile makes for the run.
    """
    pytest.importorskip("onnx")
    from avgn_edge.bundle.reader import Bundle
    from avgn_edge.export.export import Export, export_bundle

    given = os.environ.get("AVGN_EDGE_TEST_SHARE")
    folder = Path(given) if given else tmp_path_factory.mktemp("tiny")
    table = folder / "tiny.pickle"
    if table.exists():
        return Export(Bundle.open(folder / "bundle"), pickle.loads(table.read_bytes()))
    exported = export_bundle(tiny_model, folder / "bundle", name="tiny", confidence=None)
    table.write_bytes(pickle.dumps(exported.graphs))
    return exported


@pytest.fixture(scope="session")
def tiny_bundle(tiny_export):
    """A bundle of `tiny_model`, opened; read only."""
    return tiny_export.bundle


@pytest.fixture(scope="session", params=["cpu", "openvino:CPU"])
def device(request):
    """Each inference engine that can run on any machine."""
    pytest.importorskip({"cpu": "onnxruntime", "openvino:CPU": "openvino"}[request.param])
    return request.param
