"""`train`: from labelled clips to a checkpoint; what is wrong is said before the first step."""

from __future__ import annotations

import csv
import os
import signal

import pytest
from media_makers import SoundSpec, VideoSpec, tone, write_media

torch = pytest.importorskip("torch")

from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.cli import train as train_command  # noqa: E402


def write_table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Eight short clips of two classes, with one table for one label a clip and one for several."""
    folder = tmp_path_factory.mktemp("clips")
    names = [f"{number}.mp4" for number in range(8)]
    for number, name in enumerate(names):
        sound = SoundSpec(tone(300 + 100 * number, 2.0, 44_100)) if number else None
        write_media(folder / name, VideoSpec(), sound)
    parts = ["train"] * 6 + ["val"] * 2
    write_table(folder / "one.csv", [(name, "ab"[i % 2], parts[i]) for i, name in enumerate(names)])
    write_table(folder / "several.csv", [(name, ("a", "b", "a|b")[i % 3], parts[i]) for i, name in enumerate(names)])
    write_table(folder / "single.csv", [(name, "a", parts[i]) for i, name in enumerate(names)])
    return folder


@pytest.fixture(scope="module")
def tiny(tiny_model, tmp_path_factory):
    """A checkpoint of a network that trains quickly; it knows none of the clips' labels."""
    path = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    checkpoint.save(tiny_model, path)
    return path


@pytest.fixture
def train(run, clips, tiny, tmp_path):
    """Train the tiny network quickly, into a file of the test's own."""

    def command(*more, data=clips / "one.csv", output=tmp_path / "net.pt"):
        quick = ["--batch", 3, "--workers", 0, "--looks", 2, "--device", "cpu"]
        return run("train", "--data", data, "-o", output, "--init", tiny, *quick, *more)

    return command


def test_clips_become_a_checkpoint(train, tmp_path):
    done = train("--epochs", 1)
    assert done.code == 0, done.stderr
    output = tmp_path / "net.pt"
    best = tmp_path / "net.best.pt"
    assert done.lines == [
        str(output), f"best on held-out clips: {best}", f"next: avgn-edge export {output}"
    ]  # fmt: skip
    told = done.stderr.splitlines()
    assert told[0].startswith("warning: fewer than 5 clips to train on in 2 classes: a (3), b (3)") or told[
        0
    ].startswith("warning: 1 of 8 clips have no sound: 0.mp4")
    for text in (
        "data: 6 clips to train on, 2 held out; 2 classes, single-label",
        "; labels new to it: a, b",
        "training: 1 epoch of 2 steps of 3 clips, sgd, float32; cpu",
    ):
        assert text in done.stderr
    (epoch,) = (line for line in told if line.startswith("epoch 1/1: loss "))
    for text in ("L_p ", "L_V ", "L_A ", "L_s ", "L_mask ", "L_ord ", "top-1 "):
        assert text in epoch
    assert checkpoint.load(output).settings.labels == ("a", "b")


@pytest.mark.parametrize("named", [("--audio-encoder", "tiny"), ("--look-from", "source"), ("--preset", "small")])
def test_what_a_checkpoint_decides_is_refused_beside_it(train, named):
    done = train("--epochs", 1, *named)
    assert done.code == 2
    assert "the network is the one of --init: leave one of them out" in done.stderr


@pytest.mark.parametrize(("name", "why"), [("none", "'none' is none of"), ("resnet50", "3 channels, not of 1")])
def test_an_encoder_that_cannot_hear_is_refused_in_a_line(run, clips, tmp_path, name, why):
    done = run("train", "--data", clips / "one.csv", "-o", tmp_path / "net.pt", "--batch", 3, "--audio-encoder", name)
    assert (done.code, done.stderr.count("error: ")) == (2, 1)
    assert f"an encoder by name: {why}" in done.stderr.replace("ResNet-50 takes pictures of ", "")


def test_looks_at_the_source_are_trained_exported_and_classified(run, clips, tmp_path):
    """With the smallest encoders there are; the bundle says where it looks, and boxes cover less of the frame."""
    names = [part for kind in ("audio", "glance", "look") for part in (f"--{kind}-encoder", "tiny")]
    quick = ["--epochs", 1, "--batch", 3, "--workers", 0, "--looks", 2, "--device", "cpu"]
    net, bundle = tmp_path / "net.pt", tmp_path / "bundle"
    done = run("train", "--data", clips / "one.csv", "-o", net, "--look-from", "source", *names, *quick)
    assert done.code == 0, done.stderr
    assert checkpoint.load(net).settings.frame_size == 448
    assert run("export", net, "-o", bundle).code == 0
    assert "from frames of 448 pixels, which glances see smaller" in run("info", bundle).stdout
    (answer,) = run("classify", clips / "1.mp4", "--model", bundle, "--json").objects
    (box, *_) = (moment["box"] for moment in answer["moments"] if moment["box"] is not None)
    assert box[2] / box[3] == pytest.approx(VideoSpec().size[0] / VideoSpec().size[1])
    assert box[2] == pytest.approx(128 / 512 * VideoSpec().size[0])


def test_ctrl_c_says_how_to_go_on_and_resuming_equals_not_having_stopped(train, tmp_path, monkeypatch):
    quick = ["--epochs", 1, "--json", "--batch", 2]
    whole = train(*quick, output=tmp_path / "whole.pt")
    assert [(row["epoch"], row["epochs"]) for row in whole.objects] == [(1, 1)]
    assert set(whole.objects[0]["validation"]) == {"top1"}

    def interrupt(_self, _epoch, step, *_):
        if step == 0:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(train_command.TrainingMonitor, "step", interrupt)
        stopped = train(*quick)
    assert (stopped.code, stopped.objects) == (130, [])
    assert "stopping after this step; Ctrl-C again ends at once" in stopped.stderr
    state = tmp_path / "net.pt.state"
    assert f"{state}: go on with the same command and --resume\ninterrupted\n" in stopped.stderr

    again = train(*quick)
    assert (again.code, len(again.errors)) == (2, 1)
    assert "go on with --resume, or give another name" in again.errors[0]
    other = train(*quick, "--seed", 1, "--resume")
    assert (other.code, len(other.errors)) == (2, 1)
    assert "training seed was 0, now 1" in other.errors[0]
    other = train(*quick, "--no-flip", "--resume")
    assert "the data are others" in other.errors[0]

    resumed = train(*quick, "--resume")
    assert (resumed.code, resumed.stderr.count(f"resuming from {state}")) == (0, 1)
    for row, expected in zip(resumed.objects, whole.objects, strict=True):
        for key in ("loss", "terms", "validation"):
            assert row[key] == expected[key]
    one, other = (checkpoint.load(tmp_path / name).state_dict() for name in ("whole.pt", "net.pt"))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_clips_of_several_labels_and_no_held_out_ones(train, clips, tmp_path):
    pytest.importorskip("sklearn")
    done = train("--epochs", 1, "--json", "--without", "L_ord", "--freeze", "local_encoder", data=clips / "several.csv")
    assert done.code == 0, done.stderr
    assert "2 classes, multi-label" in done.stderr
    assert "local_encoder frozen" in done.stderr
    assert list(done.objects[0]["validation"]) == ["mAP", "top1"]
    assert "ordered" not in done.objects[0]["terms"]
    done = train("--epochs", 1, "--val-fraction", 0, output=tmp_path / "other.pt", data=clips / "several.csv")
    assert "none held out" in done.stderr
    assert not (tmp_path / "other.best.pt").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "paper"], "--preset: the network is the one of --init"),
        (["--without", "sense"], "there is no part 'sense'; there are audio, av-test"),
        (["--freeze", "brain"], "--freeze brain: the network has no such module: name one of"),
        (["--device", "cuda:77"], "device cuda:77: "),
        (["--device", "tensorrt"], "PyTorch trains on CPUs and CUDA GPUs"),
        (["--batch", "7"], "6 clips do not fill a batch of 7"),
        (["--batch", "1"], "'--batch'"),
        (["--videos", "."], "only ActivityNet's JSON goes with a folder of videos"),
        (["--imagenet", "none.pth"], "cannot load weights none.pth"),
        (["--task", "multi-label", "--guidance", "1"], "--guidance: it needs one label a clip"),
        ([f"--without=L_{name}" for name in ("p", "V", "A", "s", "mask", "ord")], "no loss is left"),
    ],
    ids=lambda value: "" if isinstance(value, str) else " ".join(value)[:30],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_writes_nothing(train, tmp_path, arguments, said):
    done = train(*arguments)
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
    assert said in done.errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("table", "more", "said"),
    [
        ("single.csv", [], "there is a single class, a"),
        ("several.csv", ["--task", "single-label"], "has several labels: train with multi-label"),
        ("none.csv", [], "none.csv"),
    ],
)
def test_data_that_cannot_be_learned_from_are_one_line(train, clips, tmp_path, table, more, said):
    done = train(*more, data=clips / table)
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
    assert said in done.errors[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_small_network_trains(run, clips, tmp_path):
    names = [("0.mp4", "a", "train"), ("1.mp4", "b", "train"), ("7.mp4", "b", "val")]
    table = write_table(tmp_path / "few.csv", [(clips / name, *rest) for name, *rest in names])
    output = tmp_path / "net.safetensors"
    quick = ["--epochs", 1, "--batch", 2, "--workers", 1, "--optimiser", "adamw", "--precision", "bfloat16"]
    done = run("train", "--data", table, "-o", output, "--device", "cpu", *quick, "--guidance", 10)
    assert done.code == 0, done.stderr
    assert "network: small, 10.1" in done.stderr
    assert "L_π " in done.stderr
    assert checkpoint.load(output).settings.local_backbone == "mobilenet_v2"
