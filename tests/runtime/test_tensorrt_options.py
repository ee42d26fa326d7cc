"""TensorRT's options: the sizes it builds for, what INT8 and half need, and a cache that nothing old is read from.

No GPU is needed: the options are made before anything is opened.
"""

from __future__ import annotations

import pytest

from avgn_edge.engines import probe, tensorrt

ort = pytest.importorskip("onnxruntime")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tensorrt, "_tensorrt_and_gpus", lambda: ("101300", "Model: \t Orin"))
    return tmp_path / "cache" / "avgn-edge" / "tensorrt"


@pytest.fixture
def probe_path(tmp_path):
    path = tmp_path / "probe.onnx"
    path.write_bytes(probe.graph())
    return path


@pytest.fixture
def quantised(tmp_path):
    """The probe with a name in it that only QDQ graphs have; an unknown field of a graph is skipped."""
    path = tmp_path / "quantised.onnx"
    path.write_bytes(probe.graph() + probe._text(6, "DequantizeLinear"))
    return path


def test_each_precision_sets_what_it_needs(probe_path, quantised, cache):
    def flags(path, precision):
        chosen = tensorrt.options(ort, path, 1, precision)
        assert chosen["device_id"] == 1
        return chosen["trt_int8_enable"], chosen["trt_fp16_enable"]

    assert flags(probe_path, "fp32") == (False, False)
    assert flags(probe_path, "fp16") == (False, True)
    assert flags(quantised, "int8") == (True, True)


def test_sizes_that_vary_have_a_profile_and_fixed_ones_none(tiny_bundle, cache):
    encoder = tensorrt.options(ort, tiny_bundle.graph_bytes_path("fp32", "global_encoder"), 0, "fp32")
    assert encoder["trt_profile_min_shapes"] == "frames:1x224x224x3"
    assert encoder["trt_profile_opt_shapes"] == "frames:4x224x224x3"
    assert encoder["trt_profile_max_shapes"] == "frames:16x224x224x3"
    classifier = tensorrt.options(ort, tiny_bundle.graph_bytes_path("fp32", "classifier"), 0, "fp32")
    assert not any(name.startswith("trt_profile") for name in classifier)


def test_a_graph_a_version_or_a_gpu_that_changes_gets_another_folder(probe_path, quantised, cache, monkeypatch):
    def folders(path, precision="fp32"):
        chosen = tensorrt.options(ort, path, 0, precision)
        assert chosen["trt_engine_cache_enable"]
        assert chosen["trt_timing_cache_enable"]
        return chosen["trt_engine_cache_path"], chosen["trt_timing_cache_path"]

    engine, timing = folders(probe_path)
    assert engine.startswith(str(cache))
    assert folders(probe_path) == (engine, timing)
    assert folders(quantised)[0] != engine
    assert folders(quantised)[1] == timing  # what was timed on this machine serves every graph
    assert folders(probe_path, "fp16")[0] != engine
    seen = {timing}
    for told in (("101401", "Model: \t Orin"), ("101300", "Model: \t H200")):
        monkeypatch.setattr(tensorrt, "_tensorrt_and_gpus", lambda told=told: told)
        seen.add(folders(probe_path)[1])
    monkeypatch.setattr(ort, "__version__", "1.99.0")
    seen.add(folders(probe_path)[1])
    assert len(seen) == 4


def test_it_does_without_a_cache_that_cannot_be_written(probe_path, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    chosen = tensorrt.options(ort, probe_path, 0, "fp32")
    assert not any("cache" in name for name in chosen)
