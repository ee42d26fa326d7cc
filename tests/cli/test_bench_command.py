"""`bench`: where the time goes, and the device profile that is kept."""

from __future__ import annotations

import json

from avgn_edge.architectures.avgn.spec import GRAPHS


def test_bench_says_where_the_time_goes(run, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    sample = bundle.parent / "sample.mp4"
    done = run("bench", sample, "--device", "cpu", "--threads", "1", "--json")
    assert (done.code, done.stderr) == (0, "")
    (told,) = done.objects
    stages = {stage["name"]: stage for stage in told["stages"]}
    assert {graph.replace("_", " ") for graph in GRAPHS} | {
        "open",
        "decode frames",
        "orchestration",
    } <= set(stages)
    assert stages["audio encoder"]["runs"] == 1
    assert all(stage["ms"] >= 0 for stage in told["stages"])
    assert told["looks"] >= 1
    assert told["ahead_ms"] > 0
    floors_ms = told["frames_floor_ms"] + told["graphs_floor_ms"]
    assert min(told["frames_floor_ms"], told["graphs_floor_ms"]) > 0
    assert told["over_floors"] == told["total_ms"] / floors_ms
    assert not list(tmp_path.rglob("*.json"))  # no time budget, no profile


def test_bench_tells_a_person_the_floors(run, bundle):
    done = run("bench", bundle.parent / "sample.mp4", "--device", "cpu", "--threads", "1")
    assert (done.code, done.stderr) == (0, "")
    ahead, floors = done.lines[-2:]
    assert ahead.startswith("frames decoded ahead for")
    assert floors.startswith("floors: ")
    assert floors.endswith(" times their sum")


def test_bench_save_keeps_a_profile_that_time_budgets_are_planned_with(run, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("avgn_edge.runtime.device_profile.CAREFUL_RUNS", 2)
    done = run("bench", "--save", "--device", "cpu", "--threads", "1")
    (path,) = tmp_path.rglob("*.json")
    assert (done.code, done.stdout) == (0, "")
    assert str(path) in done.stderr
    data = json.loads(path.read_text())
    assert set(data["graphs"]) == set(GRAPHS)
    assert set(data["graphs"]["global_encoder"]["seconds"]) == {"1", "4", "8", "16"}
    before = path.read_bytes()
    sample = bundle.parent / "sample.mp4"
    again = run("classify", sample, "--budget", "10s", "--device", "cpu", "--threads", "1", "--json")
    assert again.code == 0
    assert path.read_bytes() == before  # read, not measured again
    assert list(tmp_path.rglob("*.json")) == [path]


def test_bench_names_what_is_missing_in_one_line(run, tmp_path, monkeypatch):
    done = run("bench")
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
    assert "--save" in done.errors[0]
    monkeypatch.setattr("avgn_edge.runtime.recognizer.Recognizer.save_profile", lambda _: None)
    done = run("bench", "--save", "--device", "cpu")
    assert (done.code, done.stdout, len(done.errors)) == (2, "", 1)
    assert "XDG_CACHE_HOME" in done.errors[0]
