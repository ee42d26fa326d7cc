"""Checkpoints and settings survive the round trip; anything else is refused in one line, and runs no code."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from network_makers import tiny_settings  # noqa: E402

from avgn_edge._base.errors import BundleError  # noqa: E402
from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.architectures.avgn.network.settings import Settings, preset  # noqa: E402


@pytest.fixture(scope="module")
def saved(tiny_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors"
    checkpoint.save(tiny_model, path)
    return path


def torch_file(model, path, **changes):
    content = {"format": checkpoint.FORMAT, "settings": model.settings.to_json(), "state_dict": model.state_dict()}
    torch.save(content | changes, path)
    return path


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_checkpoint_comes_back_as_it_was(saved, tiny_model):
    loaded = checkpoint.load(saved)
    assert loaded.settings == tiny_model.settings
    assert same(loaded.state_dict(), tiny_model.state_dict())
    assert not loaded.training
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]  # no partial file is left


def test_torch_s_own_format_is_read_too(tiny_model, tmp_path):
    loaded = checkpoint.load(torch_file(tiny_model, tmp_path / "tiny.pt"))
    assert loaded.settings == tiny_model.settings
    assert same(loaded.state_dict(), tiny_model.state_dict())


def test_a_save_that_fails_leaves_the_old_checkpoint(saved, tiny_model, monkeypatch):
    before = saved.read_bytes()
    monkeypatch.setattr(checkpoint, "save_file", lambda *_, **__: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        checkpoint.save(tiny_model, saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("share", [0.0, 0.0001, 0.01, 0.5, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "torch"])
def test_a_truncated_checkpoint_is_refused(kind, share, saved, tiny_model, tmp_path):
    path = tmp_path / "cut"
    whole = (saved if kind == "safetensors" else torch_file(tiny_model, tmp_path / "whole.pt")).read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BundleError, match="cannot read checkpoint"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"PK\x03\x04" + bytes(100), b"hello", bytes(4096), b"\xff" * 64, b"\x80\x04K\x01."]
)
def test_garbage_is_refused(content, tmp_path):
    path = tmp_path / "garbage"
    path.write_bytes(content)
    with pytest.raises(BundleError, match="cannot read checkpoint"):
        checkpoint.load(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(BundleError, match="there is no such file"):
            checkpoint.load(path)


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))  # makes a file where it is run


@pytest.mark.parametrize("kind", ["pickle", "torch", "torch-state", "torch-legacy"])
def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(kind, tiny_model, tmp_path):
    path, sprung = tmp_path / "trap.pt", tmp_path / "sprung"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(Trap(sprung)))
    elif kind == "torch-state":
        torch_file(tiny_model, path, state_dict={"no_audio": Trap(sprung)})
    else:
        torch.save({"format": Trap(sprung)}, path, _use_new_zipfile_serialization=kind == "torch")
    with pytest.raises(BundleError, match="cannot read checkpoint"):
        checkpoint.load(path)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"aespa_heads": 3},
        {"saliency_heads": 5},
        {"fusion_heads": 0},
        {"frame_size": 200},
        {"moments": 8},
        {"moments": "16"},
        {"aespa_layers": 0},
        {"audio_width": -1},
        {"labels": 5},
        {"local_backbone": "resnet18"},
        {"task": "regression"},
        {"unknown": 1},
        {"glances": 2.5},
        {"patch_size": 224},
    ],
    ids=str,
)
def test_settings_that_no_network_has_are_refused(changes, tiny_model, tmp_path):
    text = json.dumps(json.loads(tiny_model.settings.to_json()) | changes)
    with pytest.raises(BundleError, match="cannot read checkpoint"):
        checkpoint.load(torch_file(tiny_model, tmp_path / "c.pt", settings=text))


@pytest.mark.parametrize(
    "changes",
    [
        {"state_dict": [1]},
        {"state_dict": {1: torch.zeros(1)}},
        {"state_dict": {"no_audio": "text"}},
        {"state_dict": {}},
        {"settings": "{"},
        {"settings": "[]"},
        {"settings": "[" * 100_000},
        {"format": "something else"},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_content_of_the_wrong_kind_is_refused(changes, tiny_model, tmp_path):
    with pytest.raises(BundleError, match="cannot read checkpoint"):
        checkpoint.load(torch_file(tiny_model, tmp_path / "c.pt", **changes))


def test_the_error_names_a_parameter_that_does_not_fit(tiny_model, tmp_path):
    text = replace(tiny_model.settings, policy_hidden=12).to_json()
    with pytest.raises(BundleError, match=r"policy\.\w+"):
        checkpoint.load(torch_file(tiny_model, tmp_path / "c.pt", settings=text))


def test_settings_that_ask_for_much_memory_take_none(tiny_model, tmp_path, monkeypatch):
    """65,536 by 65,536 weights would be 17 GB: shapes are compared before anything is made."""
    text = replace(tiny_model.settings, classifier_dim=65_536, aespa_feedforward=65_536).to_json()
    path = torch_file(tiny_model, tmp_path / "c.pt", settings=text)
    made = []
    build = checkpoint.AVGN
    monkeypatch.setattr(
        checkpoint, "AVGN", lambda settings: (made.append(torch.empty(0).device.type), build(settings))[1]
    )
    with pytest.raises(BundleError, match="is not what the settings ask for"):
        checkpoint.load(path)
    assert made == ["meta"]


@pytest.mark.parametrize("changes", [{"aespa_layers": 10**9}, {"classifier_dim": 10**9}])
def test_no_network_is_larger_than_any(changes, tiny_model, tmp_path):
    text = json.dumps(json.loads(tiny_model.settings.to_json()) | changes)
    with pytest.raises(BundleError, match="no network has more than 64 layers or 65536 channels"):
        checkpoint.load(torch_file(tiny_model, tmp_path / "c.pt", settings=text))


# ---- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["paper", "small"])
@pytest.mark.parametrize("task", ["single-label", "multi-label"])
def test_settings_survive_json(name, task):
    settings = preset(name, ("a", "zwölf ✓", 'quo"te'), task)
    assert Settings.from_json(settings.to_json()) == settings
    assert settings.grid == 7
    assert settings.travel == 96


@pytest.mark.parametrize(
    "changes",
    [
        {"labels": ()},
        {"glances": -1},
        {"glances": 17},
        {"looks": 0},
        {"looks": 17},
        {"patch_size": 0},
        {"patch_size": 224},
        {"patch_size": 300},
        {"frame_size": 230},
        {"task": "other"},
        {"local_backbone": "vgg"},
        {"saliency_heads": 3},
        {"aespa_heads": 7},
        {"fusion_heads": 5},
    ],
    ids=str,
)
def test_settings_that_contradict_themselves_are_a_value_error(changes):
    with pytest.raises(ValueError):  # noqa: PT011
        tiny_settings(**changes)


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"labels": ["a"], "other": 1}', '{"moments": 16}'])
def test_json_that_is_not_settings_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        Settings.from_json(text)
