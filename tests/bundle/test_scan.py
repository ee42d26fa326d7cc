"""A graph that refers to another file is refused, wherever the reference hides."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avgn_edge._base.errors import BundleError
from avgn_edge.bundle.onnx_scan import check_self_contained
from avgn_edge.engines import probe

onnx = pytest.importorskip("onnx")


def tensor(name="w", external=None):
    made = onnx.numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), name)
    if external is not None:
        made.ClearField("raw_data")
        made.data_location = onnx.TensorProto.EXTERNAL
        entry = made.external_data.add()
        entry.key, entry.value = "location", external
    return made


def model(initializers=(), nodes=(), functions=(), sparse=()):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])
    first = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([first, *nodes], "g", [value], [out], list(initializers), sparse_initializer=sparse)
    opsets = [onnx.helper.make_opsetid("", 20)]
    return onnx.helper.make_model(graph, ir_version=10, opset_imports=opsets, functions=list(functions))


def constant(external):
    return onnx.helper.make_node("Constant", [], ["c"], value=tensor(external=external))


def subgraph(external):
    return onnx.helper.make_graph([constant(external)], "inner", [], [], [tensor("v", external)])


def hiding_places(external):
    bad = tensor(external=external)
    yield "initializer", model([bad])
    yield "attribute", model(nodes=[constant(external)])
    yield "subgraph", model(nodes=[onnx.helper.make_node("If", ["b"], ["z"], then_branch=subgraph(external))])
    nested = onnx.helper.make_node("If", ["b"], ["z"], else_branch=subgraph(external))
    outer = onnx.helper.make_graph([nested], "outer", [], [])
    yield "nested subgraph", model(nodes=[onnx.helper.make_node("If", ["b"], ["z"], then_branch=outer)])
    several = onnx.helper.make_node("Custom", [], ["z"], values=[tensor("a"), bad])
    yield "list of tensors", model(nodes=[several])
    graphs = onnx.helper.make_node("Custom", [], ["z"], bodies=[subgraph(external)])
    yield "list of graphs", model(nodes=[graphs])
    opsets = [onnx.helper.make_opsetid("", 20)]
    function = onnx.helper.make_function("d", "f", [], ["c"], [constant(external)], opsets)
    yield "function", model(functions=[function])
    sparse = onnx.SparseTensorProto(values=bad, dims=[6])
    yield "sparse initializer", model(sparse=[sparse])
    training = model()
    training.training_info.add().algorithm.CopyFrom(subgraph(external))
    yield "training", training


@pytest.mark.parametrize(
    ("place", "made"), [pytest.param(place, made, id=place) for place, made in hiding_places("weights.bin")]
)
def test_external_data_is_refused_wherever_it_hides(place, made):
    with pytest.raises(BundleError, match="another file"):
        check_self_contained(made.SerializeToString(), "g.onnx")


@pytest.mark.parametrize(
    ("place", "made"), [pytest.param(place, made, id=place) for place, made in hiding_places(None)]
)
def test_a_graph_in_one_file_passes(place, made):
    check_self_contained(made.SerializeToString(), "g.onnx")


def test_a_location_without_data_and_data_without_a_location_are_refused():
    for change in ("location", "data"):
        made = tensor()
        if change == "location":
            made.data_location = onnx.TensorProto.EXTERNAL
        else:
            made.external_data.add().key = "location"
        with pytest.raises(BundleError, match="another file"):
            check_self_contained(model([made]).SerializeToString(), "g.onnx")


def test_an_explicit_default_location_passes():
    made = tensor()
    made.data_location = onnx.TensorProto.DEFAULT
    check_self_contained(model([made]).SerializeToString(), "g.onnx")


def test_a_model_split_in_two_parts_that_protobuf_merges_is_still_seen():
    data = model().SerializeToString() + model([tensor(external="w.bin")]).SerializeToString()
    with pytest.raises(BundleError, match="another file"):
        check_self_contained(data, "g.onnx")


def test_a_precompiled_context_is_refused():
    context = onnx.helper.make_node("EPContext", ["x"], ["z"], domain="com.microsoft", ep_cache_context="../x.bin")
    with pytest.raises(BundleError, match="precompiled"):
        check_self_contained(model(nodes=[context]).SerializeToString(), "g.onnx")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\x00", b"ORTM" * 9, b"<?xml version='1.0'?>", b"\xff" * 30),
        *(b"\x08", b"\x08\x0a\x00", b"\x08\x0a\x0b", b"\x08\x0a\x3a\x05\x0a", b"\x08\x0a\x3a\xff\xff\xff\xff\x0f"),
        b"\x08\x0a" + b"\xff" * 30,
    ],
)
def test_what_is_no_onnx_file_is_refused(data):
    with pytest.raises(BundleError, match=r"g\.onnx"):
        check_self_contained(data, "g.onnx")


def test_a_field_number_that_32_bits_would_fold_onto_another_is_refused():
    """Field 7 of the model, its graph, with a bit above the 32 that C++ reads."""
    data = model([tensor(external="w.bin")]).graph.SerializeToString()
    key = bytes([0x3A | 0x80, 0x80, 0x80, 0x80, 0x10])
    with pytest.raises(BundleError, match="not an ONNX"):
        check_self_contained(b"\x08\x0a" + key + _length(len(data)) + data, "g.onnx")


def test_xml_dressed_as_protobuf_is_refused():
    with pytest.raises(BundleError, match="not an ONNX"):
        check_self_contained(b"\n<" + b"net name='x'".ljust(60), "g.onnx")


def test_bottomless_nesting_is_refused():
    data = b""
    for _ in range(400):  # graph → node → attribute → graph …
        for field in (6, 5, 1):
            size, length = len(data), b""
            while size > 0x7F:
                length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
            data = bytes([field << 3 | 2]) + length + bytes([size]) + data
    with pytest.raises(BundleError, match="deeply nested"):
        check_self_contained(b"\x08\x0a\x3a" + _length(len(data)) + data, "g.onnx")


def _length(size):
    length = b""
    while size > 0x7F:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    return length + bytes([size])


@settings(max_examples=500, deadline=None)
@given(at=st.integers(0, 10**6), new=st.binary(max_size=4), cut=st.integers(0, 4))
def test_damaged_bytes_pass_or_are_a_bundle_error(at, new, cut):
    data = probe.graph()
    at %= len(data)
    with contextlib.suppress(BundleError):
        check_self_contained(data[:at] + new + data[at + cut :], "g.onnx")
