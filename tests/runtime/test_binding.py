"""Outputs that stay on the device, and slices of them, give a plain run's answers bit for bit.

The memory is the CPU's, which any machine has; the code that binds it is the one that runs on a GPU.
"""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from avgn_edge._base.errors import DeviceError
from avgn_edge.architectures.avgn.steps import AvgnSteps
from avgn_edge.engines.base import DeviceReport
from avgn_edge.engines.onnxruntime import BoundSession, DeviceTensor
from avgn_edge.runtime.budget import Budget, LatencyModel, Ledger
from avgn_edge.runtime.moments_table import MomentsTable
from avgn_edge.runtime.sessions import GraphRunner, Sessions

ort = pytest.importorskip("onnxruntime")


class BoundEngine:
    """As `OrtEngine` is on a GPU, on the CPU."""

    device, int8_variant = "bound", "u8s8"
    report = DeviceReport("bound", "bound", "onnxruntime", ort.__version__)

    def open(self, path, _precision):
        return bound(path)


def raw(path):
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def bound(path):
    return BoundSession(raw(path), "bound", "cpu")


@pytest.fixture(scope="module")
def glance(tiny_bundle):
    return bound(tiny_bundle.graph_bytes_path("fp32", "global_encoder"))


def frames(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 224, 224, 3), np.uint8)


def test_bound_runs_give_plain_answers(tiny_bundle):
    rng = np.random.default_rng(1)
    for graph, described in tiny_bundle.manifest.graphs["fp32"].items():
        path = tiny_bundle.graph_bytes_path("fp32", graph)
        inputs = {
            spec.name: (rng.random([2 if isinstance(size, str) else size for size in spec.shape]) * 3).astype(
                spec.dtype
            )
            for spec in described.inputs
        }
        session = raw(path)
        plain = dict(zip([value.name for value in session.get_outputs()], session.run(None, inputs), strict=True))
        got = bound(path).run(inputs)
        assert list(got) == list(plain)
        for name, value in plain.items():
            np.testing.assert_array_equal(got[name], value)
            assert got[name].dtype == value.dtype


def test_a_kept_output_and_its_rows_are_inputs_of_another_graph(tiny_bundle, glance):
    settings, moments = tiny_bundle.manifest.settings, tiny_bundle.manifest.preprocessing.moments
    plain = glance.run({"frames": frames(5)})["feature_map"]
    kept = glance.run({"frames": frames(5)}, keep=("feature_map",))["feature_map"]
    assert isinstance(kept, DeviceTensor)
    np.testing.assert_array_equal(kept.numpy(), plain)
    spatial = bound(tiny_bundle.graph_bytes_path("fp32", "spatial"))
    rest = {
        "audio": np.random.default_rng(2).random((moments, settings.audio_dim), np.float32),
        "heard": np.ones(moments, np.bool_),
        "state": np.full((1, settings.policy_state), 0.25, np.float32),
    }
    for row in range(5):
        sliced = spatial.run({"feature_map": kept[row : row + 1], **rest}, keep=("next_state",))
        expected = spatial.run({"feature_map": plain[row : row + 1], **rest})
        np.testing.assert_array_equal(sliced["top_left"], expected["top_left"])
        np.testing.assert_array_equal(sliced["next_state"].numpy(), expected["next_state"])


def test_rows_of_rows_are_the_right_rows(glance):
    kept = glance.run({"frames": frames(6)}, keep=("feature_map",))["feature_map"]
    values = kept.numpy()
    np.testing.assert_array_equal(kept[1:5][2:][:1].numpy(), values[3:4])
    np.testing.assert_array_equal(kept[-2:].numpy(), values[-2:])
    assert len(kept[2:4]) == 2
    for wrong in (slice(3, 3), slice(9, 10), slice(0, 4, 2), slice(None, None, -1)):
        with pytest.raises(ValueError, match="rows"):
            kept[wrong]


def test_rows_at_an_odd_address_go_through_the_host(glance, monkeypatch):
    from avgn_edge.engines import onnxruntime

    class Binding:
        def __init__(self):
            self.calls = []

        def bind_cpu_input(self, name, values):
            self.calls.append((name, values))

        def bind_input(self, _name, memory, index, dtype, shape, address):
            self.calls.append((memory, index, dtype, shape, address))

    kept = glance.run({"frames": frames(3)}, keep=("features",))["features"]
    values = kept.numpy()
    asked = Binding()
    monkeypatch.setattr(onnxruntime, "ALIGNMENT", values[0].nbytes)
    kept[1:3].bind(asked, "visual", "cuda", 1)
    start = kept._value.data_ptr()
    assert asked.calls == [("cuda", 1, np.float32, [2, values.shape[1]], start + values[0].nbytes)]
    monkeypatch.setattr(onnxruntime, "ALIGNMENT", values[0].nbytes * 2)
    kept[1:3].bind(asked, "visual", "cuda", 1)
    assert asked.calls[1][0] == "visual"
    np.testing.assert_array_equal(asked.calls[1][1], values[1:3])


def test_a_kept_output_outlives_its_session_and_later_runs(tiny_bundle):
    session = bound(tiny_bundle.graph_bytes_path("fp32", "global_encoder"))
    plain = session.run({"frames": frames(2)})
    copy = {name: value.copy() for name, value in plain.items()}
    kept = session.run({"frames": frames(2)}, keep=tuple(plain))
    row = kept["feature_map"][1:2]
    session.run({"frames": frames(2, seed=9)})
    for name, value in copy.items():
        np.testing.assert_array_equal(plain[name], value)
    del session, kept
    gc.collect()
    np.testing.assert_array_equal(row.numpy(), copy["feature_map"][1:2])


def test_threads_share_a_bound_session(glance):
    wanted = {seed: glance.run({"frames": frames(1 + seed % 2, seed)})["feature_map"] for seed in range(4)}

    def run(turn):
        seed = turn % 4
        got = glance.run({"frames": frames(1 + seed % 2, seed)}, keep=("feature_map",))["feature_map"]
        return np.array_equal(got.numpy(), wanted[seed])

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(run, range(60)))


def test_wrong_inputs_are_one_line_errors(glance):
    for inputs in ({}, {"other": frames(1)}, {"frames": frames(1)[:, :3]}, {"frames": frames(1).astype(np.float32)}):
        with pytest.raises(DeviceError, match="failed to run") as caught:
            glance.run(inputs)
        assert "\n" not in str(caught.value)


def test_the_first_run_needs_no_inputs_from_outside(tiny_bundle):
    for graph in tiny_bundle.manifest.graphs["fp32"]:
        bound(tiny_bundle.graph_bytes_path("fp32", graph)).warm_up()


def test_a_whole_look_stays_on_the_device_and_gives_the_same_answer(tiny_bundle):
    from avgn_edge.engines.select import open_engine

    settings, given = tiny_bundle.manifest.settings, tiny_bundle.manifest.preprocessing

    def look(engine):
        seen = MomentsTable.empty(given.moments, settings.audio_dim, settings.global_dim, settings.patch_size)
        seen.audio = np.random.default_rng(4).random(seen.audio.shape, np.float32)
        seen.heard[:] = True
        ledger = Ledger(Budget(), tiny_bundle.manifest.cost, LatencyModel())
        steps = AvgnSteps(tiny_bundle.manifest, seen, GraphRunner(Sessions(tiny_bundle, engine, "fp32"), ledger))
        steps.glance(frames(3), range(3))
        corners, local, state = steps.look([0, 1], steps.nothing_located())
        pooled, answers, kept = steps.nothing_pooled(), list(corners), [*seen.maps.values(), local, state]
        for row in range(2):
            says, pooled, alone = steps.classify(row, local[row : row + 1], pooled, row + 1)
            answers += [says, alone]
            kept.append(pooled)
        return answers, kept

    on_device, kept = look(BoundEngine())
    assert all(isinstance(value, DeviceTensor) for value in kept)
    for got, expected in zip(on_device, look(open_engine("cpu", threads=1))[0], strict=True):
        assert isinstance(got, (np.ndarray, tuple))
        np.testing.assert_array_equal(got, expected)
