"""A manifest is exactly right or refused, with the field's name, by `BundleError` and nothing else."""

from __future__ import annotations

import contextlib
import copy
import json
import math
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avgn_edge._base.errors import BundleError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle.manifest import GraphCost, Manifest

OLDER = json.loads((Path(__file__).parent / "valid_manifest.json").read_text("utf-8"))
"""As it was written before bundles had tables, operating points and INT8 variants."""
TABLE = {
    "glances": 1,
    "temperatures": [1.0, 1.5, 0.75],
    "clips": 200,
    "full_macs": 500,
    "risk": [
        {"confidence": 0.99, "disagreements": 0, "mean_macs": 480},
        {"confidence": 0.9, "disagreements": 200, "mean_macs": 300},
    ],
}
LIMIT = {"precision": "int8", "macs": 100, "glances": 1, "looks": 2, "thresholds": None, "top1": 0.5, "mean_macs": 90}
AVERAGE = {**LIMIT, "macs": 150, "glances": 4, "looks": 4, "thresholds": [0.5, 0.75, 2.0]}
VALID = {
    **OLDER,
    "exits": {"confidence": 0.9, "tables": {"int8": [TABLE, {**TABLE, "glances": 4}]}},
    "operating_points": [LIMIT, {**LIMIT, "macs": 200, "looks": 3}, AVERAGE],
    "int8_variants": {
        variant: {"spatial": {**OLDER["graphs"]["int8"]["spatial"], "path": f"graphs/int8-{variant}/spatial.onnx"}}
        for variant in ("s8s8", "symmetric")
    },
}
VARIANTS = [("int8_variants", variant) for variant in ("s8s8", "symmetric")]


def paths(value, prefix=()):
    """Yield the path of every value inside a JSON document."""
    yield prefix
    if isinstance(value, dict):
        for key, item in value.items():
            yield from paths(item, (*prefix, key))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from paths(item, (*prefix, at))


def replaced(path, value):
    document = copy.deepcopy(VALID)
    if not path:
        return value
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = value
    return document


def brief(value):
    """Return a test's name: some of the values are too long to print."""
    return ".".join(map(str, value)) if isinstance(value, tuple) else type(value).__name__


def deep(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def test_a_manifest_survives_its_json_form(manifest):
    assert Manifest.from_json(manifest.to_json()) == manifest
    assert Manifest.from_dict(manifest.to_dict()) == manifest


def test_an_older_manifest_loads_and_knows_nothing_of_exits_points_and_variants():
    manifest = Manifest.from_dict(OLDER)
    assert (manifest.exits.tables, manifest.operating_points, manifest.int8_variants) == ({}, (), {})
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_what_calibration_found_is_read_as_it_was_written():
    manifest = Manifest.from_dict(VALID)
    first, second = manifest.exits.tables["int8"]
    assert (first.glances, first.temperatures, first.clips, first.full_macs) == (1, (1.0, 1.5, 0.75), 200, 500)
    assert [(row.confidence, row.disagreements, row.mean_macs) for row in first.risk] == [
        (0.99, 0, 480),
        (0.9, 200, 300),
    ]
    assert (second.glances, second.risk) == (4, first.risk)
    limit, _, average = manifest.operating_points
    assert (limit.precision, limit.macs, limit.glances, limit.looks) == ("int8", 100, 1, 2)
    assert (limit.thresholds, limit.top1, limit.mean_macs) == (None, 0.5, 90)
    assert average.thresholds == (0.5, 0.75, 2.0)
    assert json.loads(manifest.to_json()) == VALID


def test_a_variant_has_its_own_files_and_shares_the_others():
    manifest = Manifest.from_dict(VALID)
    assert manifest.graph_file("int8", "spatial") == manifest.graphs["int8"]["spatial"]
    assert manifest.graph_file("int8", "spatial", "s8s8").path == "graphs/int8-s8s8/spatial.onnx"
    assert manifest.graph_file("int8", "saliency", "s8s8") == manifest.graphs["int8"]["saliency"]
    assert manifest.graph_file("fp32", "spatial", "s8s8") == manifest.graphs["fp32"]["spatial"]
    assert Manifest.from_dict(OLDER).graph_file("int8", "spatial", "s8s8") is None
    assert {file.path for file in manifest.files} == {
        *(f"graphs/{precision}/{name}.onnx" for precision in ("fp32", "int8") for name in GRAPHS),
        *(f"graphs/int8-{variant}/spatial.onnx" for variant in ("s8s8", "symmetric")),
    }


def test_variants_without_graphs_in_int8_are_refused():
    document = {**VALID, "graphs": {"fp32": VALID["graphs"]["fp32"]}, "exits": OLDER["exits"], "operating_points": []}
    with pytest.raises(BundleError, match=r"int8_variants.*int8"):
        Manifest.from_dict(document)


@pytest.mark.parametrize("other", [{"macs": 99}, {"glances": 0}, {"looks": 1}], ids=str)
def test_limits_and_what_they_buy_do_not_fall(other):
    with pytest.raises(BundleError, match=r"operating_points.*fall"):
        Manifest.from_dict({**VALID, "operating_points": [LIMIT, {**LIMIT, **other}]})
    Manifest.from_dict({**VALID, "operating_points": [LIMIT, {**LIMIT, **other, "precision": "fp32"}]})
    Manifest.from_dict({**VALID, "operating_points": [LIMIT, {**AVERAGE, **other}]})


def test_cost_is_fixed_plus_items():
    assert GraphCost(100, 7).macs(0) == 100
    assert GraphCost(100, 7).macs(3) == 121


@pytest.mark.parametrize("version", [0, 2, "1", 1.0, True, None, 10**5000], ids=brief)
def test_an_unknown_version_is_refused(version):
    with pytest.raises(BundleError, match="schema_version"):
        Manifest.from_dict({**VALID, "schema_version": version})


def test_an_unknown_version_is_named_before_its_unknown_fields():
    with pytest.raises(BundleError, match=r"schema_version.*2, where this"):
        Manifest.from_dict({"schema_version": 2, "something": "new"})


def fixed_fields():
    """Yield the paths of all fields but those of free-form records, and those that need not be there."""
    for path in paths(VALID):
        free = len(path) > 1 and path[0] in {"calibration", "provenance"}
        optional = path[:-1] in {("graphs",), ("exits", "tables"), ("int8_variants",), *VARIANTS} or path in {
            ("exits", "tables"),
            ("int8_variants",),
        }
        if path and isinstance(path[-1], str) and not free and not optional:
            yield path


@pytest.mark.parametrize("path", list(fixed_fields()), ids=brief)
def test_a_missing_field_is_refused_by_name(path):
    document = copy.deepcopy(VALID)
    parent = document
    for key in path[:-1]:
        parent = parent[key]
    del parent[path[-1]]
    with pytest.raises(BundleError, match=path[-1]):
        Manifest.from_dict(document)


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("settings",),
        ("preprocessing",),
        ("exits",),
        ("exits", "tables"),
        ("exits", "tables", "int8", 0),
        ("exits", "tables", "int8", 1, "risk", 0),
        ("operating_points", 0),
        ("int8_variants",),
        ("int8_variants", "s8s8"),
        ("int8_variants", "s8s8", "spatial"),
        ("cost",),
        ("cost", "spatial"),
        ("graphs",),
        ("graphs", "fp32"),
        ("graphs", "fp32", "spatial"),
        ("graphs", "fp32", "spatial", "inputs", 0),
    ],
)
def test_an_extra_field_is_refused_by_name(path):
    document = copy.deepcopy(VALID)
    parent = document
    for key in path:
        parent = parent[key]
    parent["hooks"] = "run.py"
    with pytest.raises(BundleError, match="hooks"):
        Manifest.from_dict(document)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("name",), ""),
        (("name",), "../up"),
        (("name",), "a" * 101),
        (("name",), "tiny\n"),
        (("architecture",), "resnet"),
        (("task",), "both"),
        (("licence",), ""),
        (("licence",), "MIT\x1b[2J"),
        (("labels",), []),
        (("labels",), ["a", "a"]),
        (("labels",), ["a"] * 200_000),
        (("labels",), ["a\nb"]),
        (("labels",), "abc"),
        (("labels", 0), "x" * 1000),
        (("settings", "patch_size"), 0),
        (("settings", "patch_size"), 225),
        (("settings", "patch_size"), 128.0),
        (("settings", "glances"), 17),
        (("settings", "looks"), -1),
        (("settings", "audio_dim"), 10**9),
        (("settings", "policy_state"), True),
        (("preprocessing", "moments"), 10**9),
        (("preprocessing", "window_samples"), 10**12),
        (("preprocessing", "frame_size"), 257),
        (("preprocessing", "glance_order"), list(range(15))),
        (("preprocessing", "glance_order"), [0] * 16),
        (("preprocessing", "glance_order", 3), 16),
        (("cost", "spatial", "fixed_macs"), -1),
        (("cost", "spatial", "fixed_macs"), math.nan),
        (("cost", "spatial", "macs_per_item"), 10**30),
        (("cost", "spatial", "macs_per_item"), 1.5),
        (("exits", "confidence"), math.nan),
        (("exits", "confidence"), math.inf),
        (("exits", "confidence"), 1.01),
        (("exits", "confidence"), True),
        (("calibration",), []),
        (("calibration", "ranges"), math.nan),
        (("calibration", "ranges"), deep(100)),
        (("calibration", "ranges"), 10**400),
        (("calibration", "ranges"), "\ud800"),
        (("calibration", "ranges"), [0] * 300_000),
        (("exits", "tables"), []),
        (("exits", "tables"), {"fp16": [TABLE]}),  # a precision that the bundle does not hold
        (("exits", "tables", "int8"), []),
        (("exits", "tables", "int8"), [TABLE, TABLE]),
        (("exits", "tables", "int8"), [{**TABLE, "glances": glances} for glances in range(65)]),
        (("exits", "tables", "int8", 1, "glances"), 0),
        (("exits", "tables", "int8", 1, "glances"), 17),
        (("exits", "tables", "int8", 0, "glances"), -1),
        (("exits", "tables", "int8", 0, "glances"), 1.0),
        (("exits", "tables", "int8", 0, "temperatures"), [1.0, 1.0]),
        (("exits", "tables", "int8", 0, "temperatures"), [1.0] * 2000),
        (("exits", "tables", "int8", 0, "temperatures", 1), 0.0),
        (("exits", "tables", "int8", 0, "temperatures", 1), -1.0),
        (("exits", "tables", "int8", 0, "temperatures", 1), 1001.0),
        (("exits", "tables", "int8", 0, "temperatures", 1), math.nan),
        (("exits", "tables", "int8", 0, "temperatures", 1), "1"),
        (("exits", "tables", "int8", 0, "clips"), 0),
        (("exits", "tables", "int8", 0, "clips"), 199),  # fewer than disagree
        (("exits", "tables", "int8", 0, "clips"), 10**9),
        (("exits", "tables", "int8", 0, "full_macs"), 0),
        (("exits", "tables", "int8", 0, "full_macs"), 10**16),
        (("exits", "tables", "int8", 0, "risk"), None),
        (("exits", "tables", "int8", 0, "risk", 1, "confidence"), 0.99),
        (("exits", "tables", "int8", 0, "risk", 1, "confidence"), 0.995),
        (("exits", "tables", "int8", 0, "risk", 0, "confidence"), 1.01),
        (("exits", "tables", "int8", 0, "risk", 0, "confidence"), math.nan),
        (("exits", "tables", "int8", 0, "risk", 0, "disagreements"), -1),
        (("exits", "tables", "int8", 0, "risk", 0, "disagreements"), 201),
        (("exits", "tables", "int8", 0, "risk", 0, "disagreements"), True),
        (("exits", "tables", "int8", 0, "risk", 0, "mean_macs"), -1),
        (("operating_points",), [LIMIT] * 2000),
        (("operating_points",), {}),
        (("operating_points", 0), {"gmacs": 1.5, "top1": 0.75}),
        (("operating_points", 0, "precision"), "fp16"),
        (("operating_points", 0, "precision"), None),
        (("operating_points", 0, "macs"), 0),
        (("operating_points", 0, "macs"), 1.5),
        (("operating_points", 0, "glances"), -1),
        (("operating_points", 2, "glances"), 17),
        (("operating_points", 2, "looks"), 17),
        (("operating_points", 0, "looks"), 0),
        (("operating_points", 2, "thresholds"), [0.5, 0.5]),
        (("operating_points", 2, "thresholds"), 0.5),
        (("operating_points", 2, "thresholds", 1), -0.1),
        (("operating_points", 2, "thresholds", 1), 2.1),
        (("operating_points", 2, "thresholds", 1), math.nan),
        (("operating_points", 0, "top1"), 1.1),
        (("operating_points", 0, "top1"), -math.inf),
        (("operating_points", 0, "mean_macs"), 0),
        (("int8_variants",), []),
        (("int8_variants",), {"u8s8": {}}),  # it is the one in `graphs`
        (("int8_variants", "s8s8"), None),
        (("int8_variants", "s8s8", "spatial", "path"), "../spatial.onnx"),
        (("int8_variants", "s8s8", "spatial", "sha256"), "0" * 63),
        (("provenance", "torch"), 2),
        (("provenance", "torch"), "x" * 10_000),
        (("graphs",), {}),
        (("graphs", "fp32", "spatial", "sha256"), "0" * 63),
        (("graphs", "fp32", "spatial", "sha256"), "G" * 64),
        (("graphs", "fp32", "spatial", "bytes"), 0),
        (("graphs", "fp32", "spatial", "bytes"), 2**40),
        (("graphs", "fp32", "spatial", "opset"), 0),
        (("graphs", "fp32", "spatial", "inputs"), []),
        (("graphs", "fp32", "spatial", "inputs", 0, "dtype"), "object"),
        (("graphs", "fp32", "spatial", "inputs", 0, "shape"), [1] * 9),
        (("graphs", "fp32", "spatial", "inputs", 0, "shape", 0), -1),
        (("graphs", "fp32", "spatial", "inputs", 0, "shape", 0), 2**40),
        (("graphs", "fp32", "spatial", "outputs", 0, "shape", 0), "n n"),
    ],
    ids=brief,
)
def test_a_hostile_value_is_refused_with_its_path(path, value):
    with pytest.raises(BundleError) as caught:
        Manifest.from_dict(replaced(path, value))
    message = str(caught.value)
    assert path[0] in message
    assert "\n" not in message
    assert len(message) < 400
    assert message.isprintable()


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd.onnx", "../x.onnx", "graphs/../../x.onnx", "./x.onnx", "graphs//x.onnx", "C:\\x.onnx"),
        *(
            "\\\\host\\x.onnx",
            "c:x.onnx",
            "x.onnx\x00",
            "x.onnx\n",
            "",
            ".onnx",
            "x.ort",
            "a/" * 20 + "x.onnx",
            "~/x.onnx",
        ),
        *("a" * 10_000 + ".onnx", 7, None, ["x.onnx"]),
    ],
    ids=brief,
)
def test_a_path_that_may_leave_the_bundle_is_refused(path):
    with pytest.raises(BundleError, match=r"graphs\.fp32\.spatial\.path"):
        Manifest.from_dict(replaced(("graphs", "fp32", "spatial", "path"), path))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"{", b"\xff\xfe", b"[]", b"null", b"1", b'"x"', b"[" * 200_000, b'{"a":' * 100_000),
        *(b'{"schema_version": NaN}', b'{"schema_version": 1, "schema_version": 1}', b"1" * 10_000, b"\xef\xbb\xbf{}"),
    ],
)
def test_bytes_that_are_no_manifest_are_refused(data):
    with pytest.raises(BundleError):
        Manifest.from_json(data)


HOSTILE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=30),
    st.binary(max_size=5),
    st.sampled_from([deep(500), {}, [], {"a": deep(3)}, {1: 2}, "../x", "1", object(), (1,), {"n": [math.nan]}]),
    st.recursive(
        st.integers() | st.text(max_size=4), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    ),
)


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(st.tuples(st.sampled_from(list(paths(VALID))), HOSTILE), min_size=1, max_size=2))
def test_a_mutated_manifest_is_valid_or_a_bundle_error(changes):
    document = copy.deepcopy(VALID)
    for path, value in changes:
        if not path:
            document = value
            continue
        parent = document
        try:
            for key in path[:-1]:
                parent = parent[key]
            parent[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue
    with contextlib.suppress(BundleError):
        manifest = Manifest.from_dict(document)
        assert set(manifest.cost) == set(GRAPHS)
        assert all(manifest.graph_file(precision, name) for precision in manifest.precisions for name in GRAPHS)
        assert Manifest.from_json(manifest.to_json()) == manifest


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 10**6), byte=st.binary(max_size=3), cut=st.integers(0, 4))
def test_damaged_json_is_valid_or_a_bundle_error(at, byte, cut):
    data = json.dumps(VALID).encode()
    at %= len(data)
    with contextlib.suppress(BundleError):
        Manifest.from_json(data[:at] + byte + data[at + cut :])
