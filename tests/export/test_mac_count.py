"""MACs are counted right: against sums done by hand, against PyTorch's own layers, and against the paper's figures."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from onnx import TensorProto, helper  # noqa: E402

from avgn_edge._base.errors import BundleError  # noqa: E402
from avgn_edge.architectures.avgn.network.avgn import AVGN  # noqa: E402
from avgn_edge.architectures.avgn.network.settings import preset  # noqa: E402
from avgn_edge.architectures.avgn.split import GRAPH_SPECS  # noqa: E402
from avgn_edge.bundle.manifest import GraphCost  # noqa: E402
from avgn_edge.data.evaluation.row import paper_gflops  # noqa: E402
from avgn_edge.export.onnx_graphs import (  # noqa: E402
    count_macs,
    example_inputs,
    graph_cost,
)

SPECS = {spec.name: spec for spec in GRAPH_SPECS}


def model_of(nodes, inputs, outputs, weights):
    """A graph whose weights are zeros of the given shapes."""
    value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)  # noqa: E731
    graph = helper.make_graph(
        nodes,
        "by-hand",
        [value(*pair) for pair in inputs.items()],
        [value(*pair) for pair in outputs.items()],
        [helper.make_tensor(n, TensorProto.FLOAT, s, np.zeros(s).ravel()) for n, s in weights.items()],
    )
    proto = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 20)])
    onnx.checker.check_model(proto, full_check=True)
    return proto


def conv(x, w, y, **attributes):
    return helper.make_node("Conv", [x, w], [y], **attributes)


@pytest.mark.parametrize(
    ("shape", "weight", "attributes", "macs"),
    [
        # 3×3, stride 1, padded: 8·8 positions, 5 outputs, 4·9 products each
        ([1, 4, 8, 8], [5, 4, 3, 3], {"pads": [1] * 4}, 8 * 8 * 5 * 4 * 9),
        # stride 2, unpadded: (11 - 3) // 2 + 1 = 5
        ([1, 3, 11, 11], [16, 3, 3, 3], {"strides": [2, 2]}, 5 * 5 * 16 * 3 * 9),
        # depthwise: every output sees one input
        ([1, 6, 7, 7], [6, 1, 3, 3], {"pads": [1] * 4, "group": 6}, 7 * 7 * 6 * 9),
        # two groups, dilated, one stride a side: rows (10 - 5) // 1 + 1 = 6, columns (9 - 5) // 2 + 1 = 3
        ([1, 8, 10, 9], [4, 4, 3, 3], {"group": 2, "dilations": [2, 2], "strides": [1, 2]}, 6 * 3 * 4 * 4 * 9),
        # one-dimensional
        ([1, 4, 20], [7, 4, 5], {}, 16 * 7 * 4 * 5),
    ],
)
def test_convolutions_are_counted_as_by_hand(shape, weight, attributes, macs):
    out = [None] * len(shape)
    proto = model_of([conv("x", "w", "y", **attributes)], {"x": shape}, {"y": out}, {"w": weight})
    assert count_macs(proto, 1) == macs


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
def test_gemm_is_counted_whichever_side_is_transposed(trans_a, trans_b):
    a, b = ([6, 3] if trans_a else [3, 6]), ([5, 6] if trans_b else [6, 5])
    node = helper.make_node("Gemm", ["a", "b"], ["y"], transA=trans_a, transB=trans_b)
    assert count_macs(model_of([node], {"a": a}, {"y": [3, 5]}, {"b": b}), 1) == 3 * 6 * 5


@pytest.mark.parametrize(
    ("a", "b", "y", "macs"),
    [
        ([4, 5], [5, 6], [4, 6], 4 * 5 * 6),
        ([2, 3, 4, 5], [2, 3, 5, 6], [2, 3, 4, 6], 2 * 3 * 4 * 5 * 6),
        ([7, 4, 5], [5, 6], [7, 4, 6], 7 * 4 * 5 * 6),
        ([3, 1, 4, 5], [2, 5, 6], [3, 2, 4, 6], 3 * 2 * 4 * 5 * 6),  # both broadcast
        ([5], [5, 6], [6], 5 * 6),
        ([4, 5], [5], [4], 4 * 5),
    ],
)
def test_batched_products_are_counted_as_by_hand(a, b, y, macs):
    node = helper.make_node("MatMul", ["a", "b"], ["y"])
    assert count_macs(model_of([node], {"a": a, "b": b}, {"y": y}, {}), 1) == macs


def test_a_price_is_split_into_a_fixed_part_and_a_part_for_each_item():
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("MatMul", ["c", "d"], ["z"]),
    ]
    proto = model_of(nodes, {"x": ["n", 4], "c": [2, 3]}, {"y": ["n", 5], "z": [2, 7]}, {"w": [4, 5], "d": [3, 7]})
    assert graph_cost(proto) == GraphCost(fixed_macs=2 * 3 * 7, macs_per_item=4 * 5)


def test_a_price_that_is_not_linear_in_the_items_is_refused():
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["x", "t"], ["y"]),
    ]
    with pytest.raises(BundleError, match="not linear"):
        graph_cost(model_of(nodes, {"x": ["n", 4]}, {"y": ["n", "n"]}, {}))


@pytest.mark.parametrize("op", ["Einsum", "GRU", "ConvTranspose", "ConvInteger", "MatMulInteger", "QLinearMatMul"])
def test_a_node_that_multiplies_but_is_not_counted_is_refused(op):
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", [], [])
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
    from avgn_edge.export import onnx_graphs

    with pytest.raises(BundleError, match="not counted"):
        onnx_graphs._node_macs(proto.graph.node[0], {})


def torch_macs(module, inputs):
    """Convolutions and linear layers, counted from what flows through them: another way to the same number."""
    total = 0

    def hook(layer, given, output):
        nonlocal total
        if isinstance(layer, torch.nn.Conv2d):
            total += output.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        else:
            total += output.numel() * layer.in_features

    layers = [layer for layer in module.modules() if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear))]
    handles = [layer.register_forward_hook(hook) for layer in layers]
    with torch.no_grad():
        module.eval()(*inputs)
    for handle in handles:
        handle.remove()
    return total


def encoder_macs(name, model, items):
    spec = SPECS[name]
    return torch_macs(spec.module(model), example_inputs(spec, model, items))


@pytest.fixture(scope="module")
def paper_model():
    return AVGN(preset("paper", labels=tuple(f"class {i}" for i in range(200)), task="multi-label"))


@pytest.mark.parametrize(("name", "gmacs"), [("global_encoder", 0.30), ("local_encoder", 1.33)])
def test_the_visual_encoders_cost_what_the_paper_s_backbones_cost(name, gmacs, paper_model):
    assert encoder_macs(name, paper_model, 1) / 1e9 == pytest.approx(gmacs, rel=0.02)


def test_sixteen_windows_of_sound_cost_what_the_paper_says(paper_model):
    assert encoder_macs("audio_encoder", paper_model, 16) / 1e9 == pytest.approx(0.68, rel=0.05)


def test_the_tiny_graphs_cost_what_pytorch_s_layers_multiply(tiny_bundle, tiny_model):
    for name in ("audio_encoder", "global_encoder", "local_encoder"):
        cost, counted = tiny_bundle.manifest.cost[name], encoder_macs(name, tiny_model, 3)
        if name == "audio_encoder":  # the head of f_C^A is a product of parameters, which no layer holds
            head = tiny_model.audio_classifier
            counted += head.dim * len(tiny_model.settings.labels)
        assert counted == cost.macs(3)


def test_glances_have_no_fixed_price(tiny_bundle):
    """Two runs of one frame cost one run of two: the plan's promise, that more budget never runs less, needs it."""
    assert tiny_bundle.manifest.cost["global_encoder"].fixed_macs == 0
    assert all(cost.macs(1) > 0 for cost in tiny_bundle.manifest.cost.values())


# ---- the paper's own convention ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glanced", "selected", "gflops"),
    [
        (range(16), range(16), 27.6),  # T_G=16, k=16: every term in full
        (range(16), [3], 7.3),  # T_G=16, k=1
        (range(12), [3], 6.0),  # T_G=12, k=1: only if the selected moment is one of the 12
        ((), range(4), 7.4),  # uniform, k=4: the sound, and f_G and f_L on the 4
    ],
)
def test_the_formula_gives_the_paper_s_figures(glanced, selected, gflops):
    assert round(paper_gflops(list(glanced), list(selected), len(selected)), 1) == gflops


def test_the_figures_hold_one_audio_each_and_the_third_leaves_out_unglanced_selections():
    """What the four figures leave open: 6.0 has no room for a fourth of the clips paying for a 13th glance."""
    assert round(paper_gflops(range(12), [13], 1), 1) == 6.3
    averaged = (12 * paper_gflops(range(12), [3], 1) + 4 * paper_gflops(range(12), [13], 1)) / 16
    assert round(averaged, 1) == 6.1
    # Without its sound the uniform row would be 6.7: all four figures contain the 0.68.
    assert round(paper_gflops([], range(4), 4) - 0.68, 1) == 6.7


def test_a_salient_moment_that_was_not_glanced_at_pays_for_its_own_global_encoding():
    # T_G=12, k=14 is given as 24.4: more than 12 glances and fewer than all 16
    fewest, most = paper_gflops(range(12), range(14), 14), paper_gflops(range(12), [*range(10), 12, 13, 14, 15], 14)
    assert round(fewest, 1) < 24.4 < round(most, 1)
    assert paper_gflops([1, 2], [2, 1, 2], 2) == paper_gflops([1, 2], [], 2)
