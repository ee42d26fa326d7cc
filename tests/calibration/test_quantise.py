"""INT8 graphs of the tiny bundle's: what they take and give, how their numbers are written, and what stays in float."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("torch")

import onnx
import onnxruntime as ort
from network_makers import made_clip
from onnx import TensorProto, numpy_helper

from avgn_edge._base.errors import DataError
from avgn_edge.bundle.manifest import INT8_VARIANTS
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.calibration.quantise import OPENING, Quantiser, quantise
from avgn_edge.calibration.sensitivity import Activations, find_sensitive, relative_rms
from avgn_edge.engines import probe
from avgn_edge.engines.select import open_engine
from avgn_edge.runtime.sessions import Sessions

ENCODERS = ("audio_encoder", "global_encoder", "local_encoder")


@pytest.fixture(scope="module")
def samples(tiny_bundle):
    """What the graphs of the tiny bundle are fed by three clips."""
    activations = Activations(tiny_bundle.manifest, Sessions(tiny_bundle, open_engine("cpu", threads=1), "fp32"))
    for seed, heard in enumerate(("all", "some", "all")):
        activations.add(made_clip(seed, heard))
    return activations.samples


@pytest.fixture(scope="module")
def quantisers(tiny_bundle, samples):
    """A quantiser of every graph."""
    graphs = tiny_bundle.manifest.graphs["fp32"]
    return {graph: Quantiser(tiny_bundle.graph_bytes_path("fp32", graph), samples[graph]) for graph in graphs}


@pytest.fixture(scope="module")
def made(quantisers):
    """Every graph in every variant, (graph, variant) → bytes."""
    return {(graph, name): one.quantise(name) for graph, one in quantisers.items() for name in INT8_VARIANTS}


def run(graph, inputs, optimised=None):
    options = ort.SessionOptions()
    if probe.saturates():
        options.add_session_config_entry(*probe.EXACT)
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    session = ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def signature(model):
    return [
        (
            value.name,
            value.type.tensor_type.elem_type,
            [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim],
        )
        for value in (*model.graph.input, *model.graph.output)
    ]


def parse(data):
    model = onnx.load_model_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    return model


def test_inputs_and_outputs_stay_as_they_are_in_every_variant(tiny_bundle, made):
    for (graph, variant), data in made.items():
        float_model = onnx.load(tiny_bundle.graph_bytes_path("fp32", graph))
        assert signature(parse(data)) == signature(float_model), (graph, variant)


def test_a_batch_of_any_size_runs_and_answers_as_float_does(quantisers, made, samples):
    for graph in ENCODERS:
        batch = {name: np.concatenate([one[name] for one in samples[graph][:5]]) for name in samples[graph][0]}
        expected = run(quantisers[graph].float_graph, batch)
        for actual, wanted in zip(run(made[graph, "u8s8"], batch), expected, strict=True):
            assert actual.shape == wanted.shape
            assert relative_rms(actual, wanted) < 0.5  # 8 bits of a random, narrow network


def test_unsigned_and_signed_activations_are_the_same_numbers(made, samples):
    for graph in ENCODERS:
        for first, second in zip(
            run(made[graph, "u8s8"], samples[graph][0]), run(made[graph, "s8s8"], samples[graph][0]), strict=True
        ):
            # A device may round a half the other way where a kernel is fused; a step in a thousand is no other number.
            assert relative_rms(first, second) < 0.02


def test_signed_variants_hold_no_unsigned_activation_and_symmetric_no_zero_point(made):
    shifted = dict.fromkeys(INT8_VARIANTS, False)
    for (graph, variant), data in made.items():
        model = parse(data)
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        points = [
            constants[node.input[2]]
            for node in model.graph.node
            if node.op_type in {"QuantizeLinear", "DequantizeLinear"} and len(node.input) > 2
        ]
        kinds = {tensor.data_type for tensor in points}
        assert (TensorProto.UINT8 in kinds) == (variant == "u8s8"), graph
        shifted[variant] |= bool(np.any(np.concatenate([numpy_helper.to_array(tensor).ravel() for tensor in points])))
    assert shifted == {"u8s8": True, "s8s8": True, "symmetric": False}


def test_symmetric_has_no_biases_in_int32(made):
    for graph in ENCODERS:
        assert TensorProto.INT32 not in {
            tensor.data_type for tensor in parse(made[graph, "symmetric"]).graph.initializer
        }


def test_onnx_runtime_computes_every_convolution_but_the_opening_in_int8(tmp_path):
    """Of a real MobileNetV2: the packaged f_L."""
    source = Bundle.open(packaged_bundle_path()).graph_bytes_path("fp32", "local_encoder")
    patches = np.random.default_rng(0).uniform(0, 255, (2, 128, 128, 3)).astype(np.float32)
    run(quantise(source.read_bytes(), [{"patches": patches}]), {"patches": patches}, tmp_path / "optimised.onnx")
    types = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert types.count("Conv") == OPENING
    assert types.count("QLinearConv") > 40


def test_the_same_samples_give_the_same_bytes(tiny_bundle, samples, made):
    graph = "local_encoder"
    again = quantise(tiny_bundle.graph_bytes_path("fp32", graph).read_bytes(), samples[graph])
    assert again == made[graph, "u8s8"]


def test_another_process_gives_the_same_bytes(tiny_bundle, samples, made, tmp_path):
    # Sets and dictionaries of strings are in another order in every process.
    graph, variant = "classifier", "u8s8"
    np.savez(
        tmp_path / "samples.npz", **{f"{at}/{k}": v for at, one in enumerate(samples[graph]) for k, v in one.items()}
    )
    program = """
import sys, hashlib, pathlib, numpy as np
from avgn_edge.calibration.quantise import quantise
held, samples = np.load(sys.argv[2]), {}
for name in held.files:
    at, _, key = name.partition("/")
    samples.setdefault(int(at), {})[key] = held[name]
data = quantise(pathlib.Path(sys.argv[1]), [samples[at] for at in sorted(samples)])
assert "torch" not in sys.modules
print(hashlib.sha256(data).hexdigest())
"""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            program,
            str(tiny_bundle.graph_bytes_path("fp32", graph)),
            str(tmp_path / "samples.npz"),
        ],
        env={**os.environ, "PYTHONHASHSEED": "4242", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(made[graph, variant]).hexdigest()


def test_a_node_kept_in_float_has_float_weights_and_is_the_only_other(quantisers, made):
    quantiser = quantisers["local_encoder"]
    kept = quantiser.nodes[len(quantiser.nodes) // 2]

    def float_weights(data):
        model = parse(data)
        floats = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) == 4}
        return [node for node in model.graph.node if node.op_type == "Conv" and node.input[1] in floats]

    before = float_weights(made["local_encoder", "u8s8"])
    after = float_weights(quantiser.quantise(keep_float=[kept]))
    assert (len(before), len(after)) == (OPENING, OPENING + 1)


def test_all_nodes_kept_in_float_is_the_float_graph(quantisers, samples):
    quantiser, inputs = quantisers["local_encoder"], samples["local_encoder"][0]
    (actual,), (expected,) = (
        run(quantiser.quantise(keep_float=quantiser.nodes), inputs),
        run(quantiser.float_graph, inputs),
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_unknown_variants_nodes_and_missing_samples_are_refused(quantisers, tiny_bundle):
    with pytest.raises(ValueError, match="u4"):
        quantisers["local_encoder"].quantise("u4")
    with pytest.raises(ValueError, match="nowhere"):
        quantisers["local_encoder"].quantise(keep_float=["nowhere"])
    with pytest.raises(DataError, match="no clip reached"):
        Quantiser(tiny_bundle.graph_bytes_path("fp32", "local_encoder"), [])


def test_one_input_without_any_range_is_quantised_all_the_same(tiny_bundle):
    black = [{"frames": np.zeros((1, 224, 224, 3), dtype=np.uint8)}]
    data = quantise(tiny_bundle.graph_bytes_path("fp32", "global_encoder"), black)
    assert all(np.isfinite(output).all() for output in run(data, {"frames": np.full((2, 224, 224, 3), 255, np.uint8)}))


def test_the_sample_is_bounded_the_same_again_and_of_every_graph(tiny_bundle, samples):
    sessions = Sessions(tiny_bundle, open_engine("cpu", threads=1), "fp32")
    again = Activations(tiny_bundle.manifest, sessions, each=2)
    for _ in range(2):
        again.add(made_clip(0))
    for graph, taken in again.samples.items():
        assert 1 <= len(taken) <= 4, graph
        assert len(samples[graph]) <= 3 * 4
    for graph in ENCODERS:
        assert all(len(value) == 1 for one in samples[graph] for value in one.values())
        # The second clip's turn is one item further on, though it is the same clip.
        first, second = again.samples[graph][0], again.samples[graph][2]
        assert any(not np.array_equal(first[name], second[name]) for name in first)


def test_nothing_is_looked_for_within_tolerance_and_nothing_kept(quantisers, samples):
    found = find_sensitive(quantisers["saliency"], samples["saliency"], tolerance=10.0)
    assert found.error == found.error_left < 10.0
    assert (found.nodes, found.keep_float) == ((), ())


def test_the_nodes_that_cost_most_are_kept_and_the_error_falls(quantisers, samples):
    quantiser = quantisers["spatial"]
    found = find_sensitive(quantiser, samples["spatial"], tolerance=1e-9)
    errors = [node.error for node in found.nodes]
    assert errors == sorted(errors, reverse=True)
    assert {node.node for node in found.nodes} == set(quantiser.nodes)
    assert found.keep_float == tuple(node.node for node in found.nodes[: len(found.keep_float)])
    assert 0 < len(found.keep_float) <= len(quantiser.nodes) // 4
    assert found.error_left < found.error
    assert found.to_dict()["kept_float"][0]["node"] == found.keep_float[0]
    with pytest.raises(DataError):
        find_sensitive(quantiser, [])
