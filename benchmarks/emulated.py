"""Does another processor answer as this one does? The runtime under QEMU as ARM, or as x86 with AVX2 and without VNNI.

    python -m benchmarks.emulated [--cpu cortex-a76 cortex-a72 haswell] [--model BUNDLE …] [--clip CLIP …] [--work DIR]

It fetches Debian's qemu-user-static and, for ARM, Debian's Python for arm64 and the published wheels, and unpacks them
in the folder WORK (a temporary one unless it is given): nothing is installed. It needs Debian, apt-get and pip. Every
clip is classified in each precision: label, exit, cost and moments must be those of this machine. In FP32 the graphs'
outputs must be too, to 1e-5. Emulation tells right from wrong; it says nothing about speed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from avgn_edge.bundle.manifest import TensorSpec
from avgn_edge.bundle.reader import Bundle, packaged_bundle_path
from avgn_edge.engines.select import open_engine
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.sessions import Sessions

ROOT = Path(__file__).parents[1]
PACKAGES = ("numpy", "onnxruntime", "av", "soundfile", "typer", "rich")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
MOST_FP32_ERROR = 1e-5
ITEMS = 2
"""Frames, windows or patches in a graph's batch."""


@dataclass(frozen=True)
class Processor:
    """A processor as QEMU names it, and as /proc/cpuinfo describes it, which ONNX Runtime and this package read.

    QEMU shows a program this machine's, unless it is given another.
    """

    qemu: str
    features: str
    part: str = ""
    """ARM's number of it; "" for x86."""
    variant: str = ""

    def cpuinfo(self) -> str:
        """The file for as many cores as this machine has."""
        x86 = {"model name": self.qemu, "flags": self.features}
        arm = {
            "BogoMIPS": "108.00",
            "Features": self.features,
            "CPU implementer": "0x41",
            "CPU architecture": "8",
            "CPU variant": self.variant,
            "CPU part": self.part,
            "CPU revision": "1",
        }
        cores = ({"processor": str(core), **(arm if self.part else x86)} for core in range(os.cpu_count() or 1))
        return "".join("".join(f"{name}\t: {value}\n" for name, value in core.items()) + "\n" for core in cores)


PROCESSORS = {
    "cortex-a76": Processor(  # Raspberry Pi 5
        "cortex-a76",
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp",
        "0xd0b",
        "0x4",
    ),
    "cortex-a72": Processor("cortex-a72", "fp asimd evtstrm crc32 cpuid", "0xd08", "0x0"),  # Raspberry Pi 4
    "haswell": Processor("Haswell", "fpu sse4_1 sse4_2 fma f16c bmi1 bmi2 avx avx2"),
}


def main() -> int:
    """Fetch, run, compare, print; 1 if anything differs."""
    options = _options()
    if options.answers:
        write_answers(options.answers, options.model, options.clip)
        return 0
    with tempfile.TemporaryDirectory(prefix="avgn-edge-emulated-") as scratch:
        work = (options.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        asked = ["--model", *options.model, "--clip", *options.clip]
        here = _run(work / "here", [sys.executable], {}, asked)
        differences = 0
        table = Table("processor", "bundle", "precision", "clip", "label, exit, GFLOPs", "as here", title="Emulated")
        for name in options.cpu:
            there = _run(work / name, *_interpreter(PROCESSORS[name], work), asked)
            differences += _compare(table, name, here, there)
    Console().print(table)
    return 1 if differences else 0


def write_answers(folder: Path, bundles: Iterable[Path], clips: Sequence[Path]) -> None:
    """Run in each of the processors: what the clips are, and what each graph makes of the same made inputs."""
    clips_told: list[dict[str, Any]] = []
    outputs: dict[str, Any] = {}
    for at, path in enumerate(bundles):
        bundle = Bundle.open(path)
        engine = open_engine("cpu", threads=1)
        for precision in bundle.precisions_for(engine.int8_variant):
            if precision == "fp16":  # a CPU emulates it
                continue
            with Recognizer.open(path, device="cpu", precision=precision, threads=1) as recognizer:
                for clip in clips:
                    told = recognizer.classify(clip).to_dict()
                    clips_told.append({"bundle": str(path), "precision": precision, "clip": clip.name, "told": told})
            sessions = Sessions(bundle, engine, precision, threads=1)
            rng = np.random.default_rng(0)
            for graph in bundle.manifest.graph_names:
                inputs = {spec.name: _made(spec, rng) for spec in bundle.manifest.graphs["fp32"][graph].inputs}
                for name, value in sessions.get(graph).run(inputs).items():
                    outputs[f"{at}/{precision}/{graph}/{name}"] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clips.json").write_text(json.dumps(clips_told))
    np.savez(folder / "outputs.npz", **outputs)


def _made(spec: TensorSpec, rng: np.random.Generator) -> NDArray[Any]:
    """The same values on every machine, in the range of pixels, flags or features."""
    shape = [size if isinstance(size, int) else ITEMS for size in spec.shape]
    if spec.dtype == "uint8":
        return rng.integers(0, 256, shape, dtype=np.uint8)
    if spec.dtype == "bool":
        return np.ones(shape, np.bool_)
    if spec.dtype.startswith("int"):
        return np.zeros(shape, spec.dtype)
    return rng.random(shape, dtype=np.float32)


def _compare(table: Table, name: str, here: Path, there: Path) -> int:
    """Add a processor's rows; return how many differ."""
    differing = 0
    ours, theirs = (json.loads((folder / "clips.json").read_text()) for folder in (here, there))
    for one, other in zip(ours, theirs, strict=True):
        same = _essence(one["told"]) == _essence(other["told"])
        differing += not same
        told, bundle = other["told"], Path(other["bundle"]).name
        answer = f"{told['label']} ({told['score']:.6f}), {told['exit']}, {told['budget']['spent_gflops']}"
        table.add_row(name, bundle, other["precision"], other["clip"], answer, "yes" if same else "NO")
    numbers, others = (np.load(folder / "outputs.npz") for folder in (here, there))
    worst: dict[str, float] = {}
    for key in numbers.files:
        at, precision, _ = key.split("/", 2)
        error = float(np.linalg.norm(others[key] - numbers[key]) / (np.linalg.norm(numbers[key]) or 1.0))
        worst[f"{at}/{precision}"] = max(worst.get(f"{at}/{precision}", 0.0), error)
    for key, error in worst.items():
        at, precision = key.split("/")
        wrong = precision == "fp32" and not error <= MOST_FP32_ERROR
        differing += wrong
        bundle = list(dict.fromkeys(Path(one["bundle"]).name for one in ours))[int(at)]
        verdict = "NO" if wrong else "yes" if precision == "fp32" else "rounds differently"
        table.add_row(name, bundle, precision, "every graph", f"largest relative difference {error:.1e}", verdict)
    return differing


def _essence(told: dict[str, Any]) -> tuple[object, ...]:
    """What must not depend on the processor."""
    moments = [(m["index"], m["time_s"], m["glanced"], m["rank"], m["label"]) for m in told["moments"]]
    return told["label"], told["exit"], told["budget"], moments


def _interpreter(processor: Processor, work: Path) -> tuple[list[str], dict[str, str]]:
    """The command that runs Python on a processor, and what its environment needs."""
    qemu = _qemu(work)
    root, site = _arm(work) if processor.part else (work / "x86", None)
    (root / "proc").mkdir(parents=True, exist_ok=True)
    (root / "proc" / "cpuinfo").write_text(processor.cpuinfo())
    emulator = qemu / f"qemu-{'x86_64' if site is None else 'aarch64'}-static"
    command = [str(emulator), "-cpu", processor.qemu, "-L", str(root)]
    if site is None:
        return [*command, sys.executable], {}
    python = next((root / "usr" / "bin").glob("python3.[0-9]*"))
    return [*command, str(python)], {"PYTHONPATH": f"{ROOT}{os.pathsep}{site}"}


def _qemu(work: Path) -> Path:
    unpacked = work / "qemu"
    if not unpacked.exists():
        _call(["apt-get", "download", "qemu-user-static"], work)
        _unpack(work.glob("qemu-user-static*.deb"), unpacked)
    return unpacked / "usr" / "bin"


def _arm(work: Path) -> tuple[Path, Path]:
    """Debian's Python for arm64, unpacked, and the published wheels of what the runtime needs."""
    root, site, apt = work / "root", work / "site", work / "apt"
    if not root.exists():
        for folder in ("state/lists/partial", "cache/archives/partial"):
            (apt / folder).mkdir(parents=True, exist_ok=True)
        (apt / "status").touch()
        own = {
            "APT::Architecture": "arm64",
            "APT::Architectures": "arm64",
            "APT::Sandbox::User": "root",
            "Dir::State": apt / "state",
            "Dir::State::status": apt / "status",
            "Dir::Cache": apt / "cache",
        }
        settings = [f"-o{name}={value}" for name, value in own.items()]
        _call(["apt-get", *settings, "update"], work)
        wanted = ["install", "-y", "--no-install-recommends", "--download-only", "python3", "libstdc++6"]
        _call(["apt-get", *settings, *wanted], work)
        _unpack((apt / "cache" / "archives").glob("*.deb"), root)
    if not site.exists():
        python = next((root / "usr" / "bin").glob("python3.[0-9]*")).name.removeprefix("python")
        _call(
            [
                *(sys.executable, "-m", "pip", "download", "-d", "wheels", "--only-binary=:all:"),
                *(option for name in PLATFORMS for option in ("--platform", f"{name}_aarch64")),
                *("--python-version", python, "--implementation", "cp"),
                *(f"{name}=={version(name)}" for name in PACKAGES),
            ],
            work,
        )
        for wheel in sorted((work / "wheels").glob("*.whl")):
            _call([sys.executable, "-m", "zipfile", "-e", str(wheel), str(site)], work)
    return root, site


def _unpack(packages: Iterable[Path], target: Path) -> None:
    for package in sorted(packages):
        _call(["dpkg", "-x", str(package), str(target)], target.parent)


def _run(folder: Path, python: list[str], environment: dict[str, str], asked: Sequence[str | Path]) -> Path:
    command = [*python, "-m", "benchmarks.emulated", "--answers", str(folder), *map(str, asked)]
    inherited = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder / "cache")}
    subprocess.run(command, cwd=ROOT, env={**os.environ, **inherited, **environment}, check=True)
    return folder


def _call(command: list[str], folder: Path) -> None:
    """Run a program that fetches or unpacks; what it says is for stderr."""
    subprocess.run(command, cwd=folder, stdout=sys.stderr, check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sample = packaged_bundle_path().parent / "sample.mp4"
    parser.add_argument("--cpu", nargs="+", choices=PROCESSORS, default=["cortex-a76", "cortex-a72"])
    parser.add_argument("--model", type=_path, action="extend", nargs="+", help="default: the packaged bundle")
    parser.add_argument("--clip", type=_path, action="extend", nargs="+", help="default: the packaged sample")
    parser.add_argument("--work", type=Path, help="keep what is fetched here, for the next time")
    parser.add_argument("--answers", type=_path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.model = options.model or [packaged_bundle_path()]
    options.clip = options.clip or [sample]
    return options


def _path(text: str) -> Path:
    return Path(text).resolve()


if __name__ == "__main__":
    sys.exit(main())
