"""A network of another folder, tests/toy, goes through every command with no line of the package knowing it."""

from __future__ import annotations

from pathlib import Path

import pytest
from media_makers import SoundSpec, VideoSpec, tone, write_media

import avgn_edge
from avgn_edge import Budget, Recognizer

pytest.importorskip("torch")

LISTENING = 2_048
"""What hearing 16 moments costs, and a frame 6."""


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder a class, with as many clips as calibration needs."""
    root = tmp_path_factory.mktemp("clips")
    for at in range(40):
        label, number = ("walk", "sing")[at % 2], at // 2
        (root / label).mkdir(exist_ok=True)
        if number < 3:
            video = VideoSpec(times=[i / 5 for i in range(8)], size=(64, 48), gop=1, b_frames=0)
            sound = SoundSpec(tone(200 + 300 * at, 1.6, 16_000), rate=16_000)
            write_media(root / label / f"{number}.mp4", video, sound)
        else:
            (root / label / f"{number}.mp4").write_bytes((root / label / f"{number % 3}.mp4").read_bytes())
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    from toy.graphs import save

    path = tmp_path_factory.mktemp("toy") / "toy.safetensors"
    save(path)
    return path


@pytest.fixture
def toy(run, checkpoint, tmp_path):
    """Its bundle, exported."""
    done = run("export", checkpoint, "-o", tmp_path / "toy", "--json")
    assert done.code == 0, done.stderr
    assert [graph["name"] for graph in done.objects[0]["graphs"]] == ["ear", "eye"]
    return tmp_path / "toy"


def test_the_package_does_not_know_it():
    sources = Path(avgn_edge.__file__).parent.rglob("*.py")
    assert not [path for path in sources if "toy" in path.read_text(encoding="utf-8")]


def test_it_classifies_and_says_what_ran(run, toy, clips):
    done = run("classify", clips / "walk" / "0.mp4", "--model", toy, "--json")
    (told,) = done.objects
    assert (told["model"], told["exit"], told["budget"]["glance"], told["budget"]["looks"]) == ("toy", "looks", 4, 3)
    assert list(told["timing_ms"]) == ["decode", "audio", "glance", "total"]
    assert told["budget"]["spent_gflops"] == pytest.approx((LISTENING + 4 * 6) / 1e9)


def test_what_the_budget_refuses_is_not_run(toy, clips):
    with Recognizer.open(toy) as recognizer:
        budget = Budget("tight", macs=LISTENING + 6 + 5)  # listening, a frame, and not quite another
        steps = list(recognizer.steps(clips / "walk" / "0.mp4", budget))
        assert [(step.budget.glances, step.exit) for step in steps] == [(0, None), (1, "budget")]
        assert [run.graph for run in steps[-1].runs] == ["ear", "eye"]


def test_every_other_command_takes_it(run, toy, clips, tmp_path):
    assert "ear" in run("info", toy).stdout
    assert run("bench", clips / "walk" / "0.mp4", "--model", toy).code == 0
    assert run("classify", clips / "walk", "--model", toy, "--report", tmp_path / "pages").code == 0
    assert any("Seeing" in page.read_text(encoding="utf-8") for page in (tmp_path / "pages").glob("*.html"))
    done = run("calibrate", toy, "--data", clips, "--precisions", "int8", "--max-loss", "100", "--json")
    assert done.code == 0, done.stderr
    row = run("evaluate", toy, "--data", clips, "--json").objects[0]
    assert (row["clips"], row["precision"]) == (40, "int8")
    watched = run("watch", clips / "walk" / "0.mp4", "--model", toy, "--speed", "max", "--updates").objects
    assert any(told["moment"]["glanced"] for told in watched if told["event"] == "update")
    (found,) = run("highlights", clips / "walk" / "0.mp4", "--model", toy, "--json").objects
    assert (found["model"], all(found["timeline"]["heard"])) == ("toy", True)


def test_a_network_that_is_not_installed_is_one_line(run, toy, checkpoint, tmp_path):
    from safetensors.torch import load_file, save_file

    manifest = (toy / "manifest.json").read_text(encoding="utf-8")
    (toy / "manifest.json").write_text(manifest.replace('"architecture": "toy"', '"architecture": "tay"'))
    done = run("info", toy)
    assert (done.code, len(done.errors)) == (2, 1)
    assert "'tay' is not one of avgn, toy" in done.errors[0]
    save_file(load_file(checkpoint), tmp_path / "tay.safetensors", metadata={"architecture": "tay"})
    done = run("export", tmp_path / "tay.safetensors", "-o", tmp_path / "tay")
    assert (done.code, len(done.errors)) == (2, 1)
    assert "no network is called 'tay'" in done.errors[0]
