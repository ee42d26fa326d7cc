"""The recipe of the packaged bundle runs from nothing to a checkpoint, resumes, and its tables are printed."""

from __future__ import annotations

import re
import sys

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("PIL")

from network_makers import tiny_settings  # noqa: E402

from avgn_edge._base.errors import DataError  # noqa: E402
from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.data.synth import Sources, write_dataset  # noqa: E402
from recipes.digits import __main__, tables  # noqa: E402


def call(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", ["program", *map(str, arguments)])
    module.main()


@pytest.mark.slow
def test_the_recipe_makes_a_checkpoint_and_its_tables(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(__main__, "preset", lambda _, classes: tiny_settings(labels=classes))
    work, output = tmp_path / "work", tmp_path / "tiny.safetensors"
    few = ("--work", work, "-o", output, "--clips", 24, "--warm-clips", 8, "--val-clips", 2, "--looks", 2)
    call(monkeypatch, __main__, *few, "--warm-epochs", 1, 1, 1, "--epochs", 1)
    first = checkpoint.load(output)
    assert first.settings == tiny_settings(labels=tuple("0123456789"))
    warm = torch.load(work / "global.pt", weights_only=True)["encoder"]
    name = "backbone.features.0.0.weight"
    torch.testing.assert_close(first.global_encoder.state_dict()[name], warm[name])  # f_G is frozen
    with pytest.raises(DataError, match="go on with --resume"):
        call(monkeypatch, __main__, *few, "--epochs", 1)
    call(monkeypatch, __main__, *few, "--epochs", 1, "--resume")  # it was done: nothing changes
    torch.testing.assert_close(checkpoint.load(output).state_dict(), first.state_dict())
    bare = (*few[:2], "-o", tmp_path / "bare.safetensors", *few[4:])
    call(monkeypatch, __main__, *bare, "--epochs", 1, "--without", "policy", "--without", "L_mask")
    assert checkpoint.load(tmp_path / "bare.safetensors").settings.patches == "centre"

    write_dataset(tmp_path / "set", clips=2, seed=2, sources=Sources.from_folders(), val_fraction=1.0)
    capsys.readouterr()
    both = (output, tmp_path / "bare.safetensors")
    call(monkeypatch, tables, *both, "--data", tmp_path / "set", "--work", tmp_path / "tables")
    text = capsys.readouterr().out
    for row in (
        "2 clips",
        "AV-TeST",
        "uniform",
        "T_G=16",
        "centre crop",
        "AESPA + π",
        "vision removed",
        "tiny",
        "bare",
    ):
        assert re.search(f"^{re.escape(row)}", text, re.MULTILINE), row
