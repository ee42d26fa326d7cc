"""A graph that gives NaN or infinity is an error of that clip, in one line, and never an answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from network_makers import REAL_COST, FakeBundle, FakeClip, FakeEngine, fake_manifest

from avgn_edge._base.errors import ClipError
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.runtime.recognizer import Recognizer

OUTPUTS = [
    *[("audio_encoder", name) for name in ("features", "logits")],
    *[("global_encoder", name) for name in ("feature_map", "features", "logits")],
    ("saliency", "saliency"),
    *[("spatial", name) for name in ("top_left", "next_state")],
    ("local_encoder", "features"),
    *[("classifier", name) for name in ("logits", "next_state", "moment_logits")],
]


class Spoilt(FakeEngine):
    """One value of one output is spoilt, as long as `broken`."""

    spoil: tuple[str, str, float] = ("", "", 0.0)
    broken = True

    def answer(self, graph, inputs):
        out = super().answer(graph, inputs)
        if self.broken and graph == self.spoil[0]:
            out[self.spoil[1]].flat[-1] = self.spoil[2]
        return out


def recognizer_of(spoil, kind=Spoilt):
    manifest = fake_manifest(REAL_COST)
    engine = kind(manifest)
    engine.spoil = spoil
    return Recognizer(FakeBundle(manifest), engine, "fp32"), engine


def clip():
    return FakeClip(np.ones(16, dtype=np.bool_))


def test_every_graph_is_among_them():
    assert {graph for graph, _ in OUTPUTS} == set(GRAPHS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("graph", "output"), OUTPUTS)
def test_an_output_that_is_not_finite_is_an_error_that_names_it(graph, output, value):
    recognizer, engine = recognizer_of((graph, output, value))
    with pytest.raises(ClipError, match=rf"graph {graph}: its {output} are not finite.*--precision fp32") as caught:
        recognizer.classify(clip())
    assert "\n" not in str(caught.value)
    engine.broken = False
    json.dumps(recognizer.classify(clip()).to_dict(), allow_nan=False)


class OnDevice:
    """An array that lies on a device, of which only the engine sees the values."""

    def __init__(self, array):
        self.array = array

    def __getitem__(self, rows):
        return OnDevice(self.array[rows])

    def numpy(self):
        return self.array


class SpoiltOnDevice(Spoilt):
    """f_L's features stay on the device; what the classifier makes of NaN is NaN."""

    def answer(self, graph, inputs):
        if graph == "classifier" and not np.isfinite(inputs["local"].numpy()).all():
            self.spoil = ("classifier", "logits", np.nan)
        out = super().answer(graph, inputs)
        return {"features": OnDevice(out["features"])} if graph == "local_encoder" else out


def test_what_stays_on_a_device_is_named_when_it_spoils_what_follows():
    recognizer, _ = recognizer_of(("local_encoder", "features", np.nan), SpoiltOnDevice)
    with pytest.raises(ClipError, match="graph classifier: its inputs local are not finite"):
        recognizer.classify(clip())


@pytest.mark.parametrize("corner", [-5.0, 1e9])
def test_a_look_outside_the_frame_is_an_error_of_the_clip(corner):
    recognizer, _ = recognizer_of(("spatial", "top_left", corner))
    with pytest.raises(ClipError, match="outside 0 to"):
        recognizer.classify(clip())


def test_a_stream_tells_nothing_that_is_not_finite():
    recognizer, _ = recognizer_of(("audio_encoder", "logits", np.nan))
    with pytest.raises(ClipError, match="graph audio_encoder"):
        recognizer.stream().push_audio(np.ones(48_000, np.float32), 16_000)
