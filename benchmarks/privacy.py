"""What leaves this machine, and what is written where: every long command under strace, without a network.

    python -m benchmarks.privacy [--seconds 60] [--only NAME...] [--telemetry]

Needs Linux, strace and unshare. Each command has an empty home and cache folder and a network with nothing in it, and
is watched with all of its processes. The check fails where one fails, opens an internet socket (torchrun's may, on this
machine) or writes outside its output, the folder of temporary files and avgn-edge's own cache. With `--telemetry` ONNX
Runtime's is on, which the check must see.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RUN = (sys.executable, "-m", "avgn_edge")
REPOSITORY = Path(__file__).resolve().parents[1]
SAMPLE = str(REPOSITORY / "avgn_edge/packaged/sample.mp4")
OPEN = """
import sys, time
from avgn_edge import Recognizer
with Recognizer.open(device=sys.argv[2]) as recognizer:
    print(recognizer.classify(sys.argv[1]).label)
    time.sleep(float(sys.argv[3]))
"""
WATCHED = "network,open,openat,openat2,creat,mkdir,mkdirat,rename,renameat,renameat2,link,linkat,symlink,symlinkat"
OPENED = re.compile(r"\b(?:open|openat|openat2|creat)\(.*(?:O_WRONLY|O_RDWR|O_CREAT|creat\().*= \d+<([^>]+)>$")
NAMED = re.compile(r"\b(?:mkdir|mkdirat|rename\w*|link|linkat|symlink|symlinkat)\(.*\"([^\"]+)\".*\) = 0$")
INTERNET = re.compile(r"\bsocket\(AF_INET6?,")
ADDRESS = re.compile(r'\b(?:connect|bind|sendto|sendmsg|sendmmsg)\(.*(?:inet_addr\(|inet_pton\(AF_INET6, )"([^"]+)"')
HERE = ("127.", "::1", "::ffff:127.", "0.0.0.0")
SCRATCH = ("/dev/null", "/dev/tty", "/dev/shm/", "/proc/", "/memfd:", "pipe:", "anon_inode:")


@dataclass(frozen=True)
class Command:
    """One thing to watch; `{out}` in its words is the folder that all of them write to."""

    name: str
    words: tuple[str, ...]
    local: bool = False
    """Whether its processes may talk to one another by internet sockets, and ask a name server for this machine."""


def commands(seconds: float) -> tuple[Command, ...]:
    """Return what is watched, in order: the later ones use what the earlier ones wrote."""
    train = ("train", "--data", "{out}/set", "--epochs", "1", "--batch", "2", "--looks", "2")
    script = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-addr", "127.0.0.1")
    return (
        Command("open", (sys.executable, "-c", OPEN, SAMPLE, "auto", str(seconds))),
        Command("open-openvino", (sys.executable, "-c", OPEN, SAMPLE, "openvino:CPU", "5")),
        Command("classify", (*RUN, "classify", *[SAMPLE] * 24, "--jobs", "2", "--report", "{out}/report")),
        Command("watch", (*RUN, "watch", SAMPLE)),
        Command("highlights", (*RUN, "highlights", SAMPLE, "--clips", "{out}/cut", "--sheet", "{out}/sheet.png")),
        Command("doctor", (*RUN, "doctor")),
        Command("bench", (*RUN, "bench", SAMPLE, "--save")),
        Command("synth", (*RUN, "synth", "-o", "{out}/set", "--clips", "50", "--workers", "2")),
        Command("train", (*RUN, *train, "--workers", "2", "-o", "{out}/net.safetensors")),
        Command(
            "torchrun",
            (sys.executable, *script, *RUN[1:], *train, "--workers", "1", "-o", "{out}/two.safetensors"),
            local=True,
        ),
        Command("export", (*RUN, "export", "{out}/net.safetensors", "-o", "{out}/net")),
        Command("calibrate", (*RUN, "calibrate", "{out}/net", "--data", "{out}/set", "--max-loss", "100")),
        Command("evaluate", (*RUN, "evaluate", "--data", "{out}/set", "--plot", "{out}/plot.png")),
    )


def main() -> None:
    """Watch them, and say what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long a recognizer is held open")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="some of the commands")
    parser.add_argument("--telemetry", action="store_true", help="turn ONNX Runtime's on")
    options = parser.parse_args()
    if missing := [tool for tool in ("strace", "unshare") if shutil.which(tool) is None]:
        raise SystemExit(f"{' and '.join(missing)}: not installed: install it, on Linux")
    wanted = [one for one in commands(options.seconds) if not options.only or one.name in options.only]
    leaks = failed = 0
    with tempfile.TemporaryDirectory(prefix="avgn-edge-privacy-") as folder:
        place = Path(folder)
        for one in wanted:
            code, found = watched(one, place, telemetry=options.telemetry)
            leaks += len(found)
            failed += code != 0
            print(f"{one.name}: exit code {code}, {'nothing' if not found else ''}", flush=True)
            for line in found:
                print(f"  {line}", flush=True)
    raise SystemExit(1 if leaks or failed else 0)


def watched(command: Command, place: Path, *, telemetry: bool) -> tuple[int, list[str]]:
    """Run a command in `place`; return its exit code and what it should not have done, a line each."""
    for name in ("home", "cache", "tmp", "out"):
        (place / name).mkdir(exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "MPL", "ORT_"))}
    environment |= {
        "HOME": str(place / "home"),
        "XDG_CACHE_HOME": str(place / "cache"),
        "TMPDIR": str(place / "tmp"),
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONDONTWRITEBYTECODE": "1",  # Python's own, beside the sources
    }
    if telemetry:
        environment["ORT_DISABLE_TELEMETRY"] = "0"
    log = place / "log"
    words = [word.replace("{out}", str(place / "out")) for word in command.words]
    tracing = ("strace", "-f", "--seccomp-bpf", "-y", "-q", "-s", "200", "-e", f"trace={WATCHED}", "-o", str(log))
    # A user namespace, so that it needs no root; loopback is up in it, for torchrun.
    alone = ("unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up 2>/dev/null; exec "$@"', "sh")
    done = subprocess.run(
        [*alone, *tracing, *words], cwd=place / "out", env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        print(done.stderr[-2000:], file=sys.stderr)
    with log.open(errors="replace") as lines:
        return done.returncode, sorted(set(_leaks(lines, place, local=command.local)))


def _leaks(lines: Iterator[str], place: Path, *, local: bool) -> Iterator[str]:
    allowed = (*SCRATCH, *(f"{place / name}/" for name in ("out", "tmp")), str(place / "cache/avgn-edge"))
    for line in lines:
        if INTERNET.search(line) and not local:
            yield f"an internet socket: {_call(line)}"
        asks_for_name = local and "htons(53)" in line  # torchrun asks which address this machine's own name has
        if (to := ADDRESS.search(line)) and to[1] != "::" and not to[1].startswith(HERE) and not asks_for_name:
            yield f"an address: {_call(line)}"
        written = OPENED.search(line) or NAMED.search(line)
        if written and not written[1].startswith(allowed) and Path(written[1]) != place / "cache":
            yield f"a file: {written[1]}"


def _call(line: str) -> str:
    """Return a call without the process and the descriptors, which differ each time."""
    return re.sub(r"<[^>]*>|^\d+ +", "", line.strip()).partition(" = ")[0]


if __name__ == "__main__":
    main()
