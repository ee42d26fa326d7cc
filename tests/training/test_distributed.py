"""Two processes train one network (PyTorch's DistributedDataParallel, gloo on the CPU, started by torchrun)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from run_makers import same_weights  # noqa: E402

from avgn_edge.architectures.avgn.network import checkpoint  # noqa: E402
from avgn_edge.training.distributed import World  # noqa: E402

pytestmark = pytest.mark.skipif(
    not (torch.distributed.is_available() and torch.distributed.is_gloo_available()), reason="PyTorch without gloo"
)

SCRIPT = """
import json, os, signal
from pathlib import Path
import torch
from run_makers import RandomSource, Remembers, run_training, small_model, two_stages
from avgn_edge.training.distributed import World

world = World.from_environment()
torch.set_num_threads(1)
device = torch.device("cpu")

class Source(RandomSource):
    stops = False

    def epoch(self, number, first=0):
        for place, batch in enumerate(super().epoch(number, first), start=first):
            if self.stops and world.rank == 1 and (number, place) == (0, 1):
                os.kill(os.getpid(), signal.SIGTERM)  # one process alone is asked to stop
            yield batch

class StopsInSecond(Remembers):
    def step(self, epoch, step, steps, terms):
        super().step(epoch, step, steps, terms)
        if (epoch, step) == (3, 0):
            os.kill(os.getpid(), signal.SIGTERM)

def result(name, stops=False, resume=False, staged=False):
    source, heard = Source(2, rank=world.rank), Remembers()
    source.stops = stops
    model, ended = small_model(seed=world.rank), "whole"
    try:
        if staged:
            heard = StopsInSecond() if stops else heard
            run_training(Path(name), recipe=two_stages(model), monitor=heard, world=world, resume=resume)
        else:
            run_training(Path(name), model=model, source=source, monitor=heard, world=world, resume=resume)
    except KeyboardInterrupt:
        ended = "interrupted"
    world.wait()
    weights = [value.detach().double().sum().item() for value in model.parameters()]
    return {"ended": ended, "weights": weights, "told": [[*place, terms] for place, terms in heard.steps.items()]}

with world.joined(device):
    results = {
        "shared": world.from_first(lambda: f"of {world.rank}"),
        "whole": result("whole.pt"),
        "stopped": result("halves.pt", stops=True),
        "resumed": result("halves.pt", resume=True),
        "whole of two": result("two.pt", staged=True),
        "stopped of two": result("half of two.pt", stops=True, staged=True),
        "resumed of two": result("half of two.pt", resume=True, staged=True),
    }
Path(f"{world.rank}.json").write_text(json.dumps(results))
"""


@pytest.mark.slow
def test_two_processes_make_one_network_and_stop_and_resume_together(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    tests = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{tests}{os.pathsep}{tests.parent}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "script.py"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert (first["shared"], second["shared"]) == ("of 0", "of 0")
    ends = {"whole": "whole", "stopped": "interrupted", "resumed": "whole"}
    for run, ended in {**ends, **{f"{run} of two": ended for run, ended in ends.items()}}.items():
        assert (first[run]["ended"], second[run]["ended"]) == (ended, ended)
        assert first[run]["weights"] == second[run]["weights"]  # though they began with others, and saw other clips
        assert second[run]["told"] == []  # the first process alone tells
    assert len(first["whole"]["told"]) == 4
    assert (len(first["stopped of two"]["told"]), len(first["whole of two"]["told"])) == (9, 10)
    for of in ("", " of two"):
        stopped, resumed, whole = (first[f"{run}{of}"] for run in ("stopped", "resumed", "whole"))
        assert stopped["told"] + resumed["told"] == whole["told"]
        assert resumed["weights"] == whole["weights"]
        assert stopped["weights"] != whole["weights"]
    one, other = (checkpoint.load(tmp_path / f"{name}.pt") for name in ("whole", "halves"))
    assert same_weights(one, other)


def test_one_process_is_a_world_of_its_own(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    world = World.from_environment()
    assert (world, world.first) == (World(0, 1, 0, 1), True)
    with world.joined(torch.device("cpu")):
        assert world.from_first(lambda: 3) == 3
        world.wait()
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert not World.from_environment().first
