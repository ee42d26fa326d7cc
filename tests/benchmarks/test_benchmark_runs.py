"""Every contender runs, fresh processes run, and the command writes what it says."""

import json
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

import av
from network_makers import tiny_settings

from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from benchmarks import __main__ as command
from benchmarks import clips, processes
from benchmarks.contenders import Floor, Obvious, Ours
from benchmarks.obvious import LOOKS, Pipeline, PyAV, choose_threads, random_network, settings_of
from benchmarks.side_by_side import Contenders, measure


@pytest.fixture(scope="module")
def bundle():
    """The packaged one: exporting another takes longer than all of these tests."""
    return Bundle.open(packaged_bundle_path())


@pytest.fixture(scope="module")
def network():
    return random_network(tiny_settings())


@pytest.fixture
def contenders(bundle, network):
    made = Contenders()
    made.add_ours(bundle, "cpu", "int8", ("none", "1s"))
    made.pipelines.append(Obvious("PyAV + PyTorch", Pipeline(PyAV(), network), "fp32"))
    made.missing["torchcodec + PyTorch"] = "not here"
    return made


def test_every_contender_has_a_row(contenders, small_clip):
    contenders.warm(small_clip)
    measured = measure(contenders, small_clip, rounds=3, patience_s=0.1)
    assert (measured.clip, measured.seconds) == (small_clip.stem, pytest.approx(16, abs=0.1))
    ours, in_time, pipeline, missing = measured.rows
    assert ours.seconds.runs == in_time.seconds.runs == pipeline.seconds.runs == 3
    assert (missing.seconds, missing.note) == (None, "not here")
    for row in (ours, in_time):
        assert row.over_floor > 0
        assert 0 <= row.orchestration < 1
        assert set(row.floor_stages) == {"decode frames", "decode sound", "graphs"}
    assert set(pipeline.stages) == {"decode frames", "decode sound", "log-mel", "network"}
    assert pipeline.seconds.median == pytest.approx(sum(pipeline.stages.values()), rel=0.5)


def test_a_floor_decodes_and_runs_what_ours_did(contenders, small_clip, monkeypatch):
    ours = contenders.ours[0]
    floor = contenders.floors[ours.name]
    ours.run(small_clip)
    decoded, heard, ran = [], [], []
    monkeypatch.setattr("benchmarks.plain.frames_at", lambda _path, seconds, _threads: decoded.append(seconds))
    monkeypatch.setattr("benchmarks.plain.sound_around", lambda _path, seconds: heard.append(seconds))

    class Session:
        def __init__(self, graph):
            self.graph = graph

        def run(self, inputs):
            ran.append((self.graph, max(len(array) for array in inputs.values())))

    monkeypatch.setattr(floor, "_sessions", type("Opened", (), {"get": staticmethod(Session)}))
    floor.run(small_clip)
    glanced = [moment.time_s for moment in ours.latest.moments if moment.glanced]
    assert glanced
    assert decoded == [glanced, glanced]  # in both of PyAV's ways, the faster of which counts
    assert heard == [[moment.time_s for moment in ours.latest.moments]]
    assert [graph for graph, _ in ran] == [run.graph for run in ours.latest.runs]


def test_a_floor_without_a_run_above_it_is_a_mistake(contenders, small_clip):
    ours = Ours(contenders.ours[0].recognizer, "none")
    with pytest.raises(ValueError, match="none"):
        Floor(ours, None).run(small_clip)


def test_the_pipeline_takes_every_look(network, small_clip, monkeypatch):
    looked = []
    hook = network.local_encoder.register_forward_hook(lambda *_: looked.append(1))
    Pipeline(PyAV(), network).run(small_clip)
    hook.remove()
    assert len(looked) == LOOKS == 16


@pytest.mark.parametrize("fastest", [1, 2])
def test_torch_takes_one_thread_or_all(network, monkeypatch, fastest):
    import torch

    used = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr("benchmarks.obvious.usable_cores", lambda: 2)
    monkeypatch.setattr("benchmarks.obvious.run_network", lambda *_: time.sleep(0.0 if used[-1] == fastest else 0.05))
    assert choose_threads(network) == fastest == used[-1]


def test_the_network_is_the_bundles_preset(bundle):
    packaged = bundle.manifest
    assert (settings_of(packaged).labels, settings_of(packaged).classifier_dim) == (packaged.labels, 512)
    with pytest.raises(ValueError, match="neither preset"):
        settings_of(replace(packaged, settings=replace(packaged.settings, policy_state=7)))


def test_pyav_knows_how_long_a_clip_is(small_clip):
    with av.open(str(small_clip)) as container:
        assert PyAV().duration_s(small_clip) == pytest.approx(container.duration / av.time_base, abs=0.1)


@pytest.mark.skipif(
    shutil.which("avgn-edge", path=Path(sys.executable).parent) is None, reason="avgn-edge is not installed"
)
def test_fresh_processes_and_a_folder(bundle, small_clip):
    options = ["--model", str(bundle.path), "--device", "cpu"]
    cold = processes.cold(small_clip, options, 1)
    assert 0 < cold.label_s.median <= cold.exit_s.median
    assert 10e6 < cold.peak_bytes.median < 10e9
    batch = next(iter(processes.batches(small_clip, options, clips=3)))
    assert batch.clips_per_s == pytest.approx(3 / batch.seconds)
    if sys.platform == "linux":
        assert batch.peak_bytes > 10e6
    assert {path.name for path in small_clip.parent.iterdir() if path.is_dir()} == set()
    with pytest.raises(RuntimeError, match="no such"):
        processes.cold(small_clip, ["--model", "/no/such/bundle"], 1)


def test_the_command_writes_json_and_a_picture(bundle, small_spec, small_clip, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(clips, "DEFAULT", (small_spec,))
    named = {"--model": bundle.path, "--work": small_clip.parent, "--json": tmp_path / "a.json"}
    named |= {
        "--plot": tmp_path / "a.png",
        "--rounds": 3,
        "--patience": 0.1,
        "--parts": "clips",
        "--budget": "500mflops",
    }
    asked = [str(part) for pair in named.items() for part in pair]
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--no-pipelines", *asked])
    command.main()
    read = json.loads((tmp_path / "a.json").read_text())
    assert [row["contender"] for row in read["clips"][0]["rows"]] == ["ours, 500mflops, cpu"]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert small_clip.stem in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"a.json", "a.png"}
