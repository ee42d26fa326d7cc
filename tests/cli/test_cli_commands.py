"""`info`, `doctor`, `synth`, `export`, and what is the same for all commands."""

from __future__ import annotations

import csv
import importlib
import inspect
import json

import pytest

import avgn_edge
from avgn_edge.architectures.avgn.spec import GRAPHS
from avgn_edge.bundle.manifest import Manifest
from avgn_edge.bundle.reader import Bundle
from avgn_edge.cli.main import COMMANDS
from avgn_edge.runtime import device_check as examination


def test_version_and_help(run):
    assert run("--version").stdout == f"avgn-edge {avgn_edge.__version__}\n"
    alone = run()
    assert (alone.code, alone.stderr) == (0, "")
    for command in COMMANDS:
        assert f"  {command} " in alone.stdout
        told = run(command, "--help")
        assert (told.code, told.stderr) == (0, "")
        assert told.stdout.startswith(f"Usage: avgn-edge {command} [OPTIONS]")


@pytest.mark.parametrize("name", COMMANDS)
def test_what_the_list_of_commands_says_is_how_its_help_begins(name):
    command = importlib.import_module(f"avgn_edge.cli.{name}").command
    assert inspect.getdoc(command).startswith(COMMANDS[name])


def test_an_unknown_command_is_one_line(run):
    done = run("clasify")
    assert (done.code, done.stdout, len(done.errors), done.stderr.count("\n")) == (2, "", 1, 1)


def test_a_bug_is_one_line_and_its_traceback_comes_with_debug(run, monkeypatch):
    def versions():
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(examination, "versions", versions)
    done = run("doctor")
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == (
        "error: ZeroDivisionError (division by zero): this is a bug: run again with --debug and report it\n"
    )
    assert "Traceback" in run("--debug", "doctor").stderr
    assert "Traceback" in run("doctor", "--debug").stderr


def test_what_the_machine_refuses_is_no_bug(run, tmp_path):
    (tmp_path / "file").touch()
    done = run("synth", "-o", tmp_path / "file" / "set", "--clips", 1)
    assert (done.code, done.stdout, len(done.errors), done.stderr.count("\n")) == (2, "", 1, 1)
    assert "bug" not in done.stderr


def test_info_tells_prices_and_hash(run, bundle):
    opened = Bundle.open(bundle)
    done = run("info", bundle)
    assert (done.code, done.stderr) == (0, "")
    manifest = opened.manifest
    for text in (manifest.name, opened.hash, manifest.licence, *opened.precisions, *manifest.labels):
        assert text in done.stdout
    for word in ("listening", "a glance", "a look", "T_G", "local_encoder"):
        assert word in done.stdout


def test_info_json_is_the_manifest_and_the_hash(run, bundle):
    described = run("info", bundle, "--json").objects[0]
    opened = Bundle.open(bundle)
    assert described.pop("hash") == opened.hash
    assert Manifest.from_dict(described) == opened.manifest


def test_info_without_a_bundle_is_about_the_packaged_one(run, bundle):
    assert run("info").stdout == run("info", bundle).stdout


def test_doctor_says_what_works_and_why_not(run):
    done = run("doctor", "--json")
    told = done.objects[0]
    assert list(told) == ["versions", "devices", "problems"]
    assert done.code == (0 if any(device["ok"] for device in told["devices"]) else 2)
    text = run("doctor")
    assert text.code == done.code
    for device in told["devices"]:
        assert device["device"] in text.stdout
        assert device["ok"] or device["what_to_do"] in text.stdout


def test_doctor_times_a_look_of_the_bundle_it_is_given(run, bundle):
    told = run("doctor", "--model", bundle, "--json").objects[0]
    for device in told["devices"]:
        assert (device["look_ms"] is not None) == device["ok"]
    text = run("doctor", "--model", bundle).stdout
    assert "a look " in text


def test_doctor_prepares_a_device_and_says_how_long_it_took(run, bundle):
    done = run("doctor", "--prepare", "cpu", "--model", bundle, "--precision", "fp32", "--json")
    assert done.code == 0
    assert {row["graph"] for row in done.objects} == set(GRAPHS)
    text = run("doctor", "--prepare", "cpu", "--model", bundle)
    assert len(text.lines) == len(done.objects)
    assert "on cpu (onnxruntime" in text.stderr
    refused = run("doctor", "--prepare", "cpu", "--model", bundle, "--precision", "fp16")
    assert (refused.code, refused.stdout, len(refused.errors)) == (2, "", 1)


def test_doctor_fails_where_nothing_works(run, monkeypatch):
    sick = examination.DeviceHealth("cpu", False, None, None, "it is not installed", "pip install 'avgn-edge[cpu]'")
    monkeypatch.setattr(examination, "examine", lambda _: (sick,))
    monkeypatch.setattr(examination, "problems", lambda: ("both flavours are installed",))
    done = run("doctor")
    assert done.code == 2
    assert "cpu  no  it is not installed: pip install 'avgn-edge[cpu]'" in done.stdout
    assert "problem: both flavours are installed" in done.stdout


def test_synth_writes_a_set_and_replaces_it_whole(run, tmp_path):
    folder = tmp_path / "set"
    done = run("synth", "-o", folder, "--clips", 2, "--seed", 3, "--val-fraction", 0.5)
    assert (done.code, done.stderr) == (0, "")
    assert "2 clips" in done.lines[0]
    done = run("synth", "-o", folder, "--clips", 1, "--seed", 4)
    assert done.code == 0
    with (folder / "labels.csv").open() as file:
        assert [row["path"] for row in csv.DictReader(file)] == ["clips/000000.mp4"]
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*")) == [
        "clips",
        "clips/000000.mp4",
        "labels.csv",
        "truth.json",
    ]


@pytest.mark.parametrize("names", [["notes.txt"], ["clips/000000.mp4"], ["labels.csv"]])
def test_synth_leaves_anything_but_a_set_alone(run, tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    done = run("synth", "-o", tmp_path, "--clips", 1)
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
    assert all((tmp_path / name).read_text() == "mine" for name in names)


def test_synth_refuses_wrong_media(run, tmp_path):
    done = run("synth", "-o", tmp_path / "set", "--clips", 1, "--objects", tmp_path / "none")
    assert (done.code, len(done.errors)) == (2, 1)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("precisions", ["fp16", "fp32,int8", "fp64", "auto", ""])
def test_export_says_which_precisions_it_writes(run, tmp_path, precisions):
    done = run("export", tmp_path / "x.safetensors", "--precisions", precisions)
    assert (done.code, done.stdout, len(done.errors), done.stderr.count("\n")) == (2, "", 1, 1)


def test_export_fails_before_its_work(run, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    (tmp_path / "bad.safetensors").write_text("not weights")
    for arguments in (
        [tmp_path / "missing.safetensors"],
        [tmp_path / "bad.safetensors"],
        [tmp_path / "bad.safetensors", "-o", tmp_path / "mine"],
        [tmp_path / "bad.safetensors", "--name", "no spaces"],
    ):
        done = run("export", *arguments)
        assert (done.code, done.stdout, len(done.errors), done.stderr.count("\n")) == (2, "", 1, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)  # half a minute of work, on machines that may be busy
def test_export_writes_a_bundle_that_classifies(run, media, tmp_path):
    import torch

    from avgn_edge.architectures.avgn.network import checkpoint
    from avgn_edge.architectures.avgn.network.avgn import AVGN
    from avgn_edge.architectures.avgn.network.settings import Settings

    torch.manual_seed(0)
    narrow = dict.fromkeys(("saliency_dim", "aespa_dim", "policy_channels", "policy_hidden", "fusion_dim"), 16)
    layers = dict.fromkeys(("saliency_layers", "aespa_layers"), 1)
    heads = dict.fromkeys(("saliency_heads", "aespa_heads", "fusion_heads"), 2)
    forward = dict.fromkeys(("saliency_feedforward", "aespa_feedforward", "fusion_feedforward"), 16)
    widths = {"audio_width": 0.25, "global_width": 0.25, "local_backbone": "mobilenet_v2", "local_width": 0.25}
    settings = Settings(("a", "b"), classifier_dim=16, **narrow, **layers, **heads, **forward, **widths)
    checkpoint.save(AVGN(settings), tmp_path / "my model.safetensors")

    done = run("export", tmp_path / "my model.safetensors", "--licence", "CC0-1.0")
    assert (done.code, done.stderr) == (0, "")
    folder = tmp_path / "my model"
    assert done.lines[-1] == f"next: avgn-edge classify CLIP --model '{folder}'"
    described = json.loads((folder / "manifest.json").read_bytes())
    assert (described["name"], described["licence"]) == ("my-model", "CC0-1.0")
    for name in described["graphs"]["fp32"]:
        assert sum(line.startswith(f"{name} ") for line in done.lines) == 1
    answers = run("classify", media / "both.mp4", "--model", folder, "--json").objects
    assert answers[0]["label"] in {"a", "b"}
