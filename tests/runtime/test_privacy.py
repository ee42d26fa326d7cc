"""Nothing leaves the machine, and nothing is written but our own cache: not by us, and not by what we use.

`python -m benchmarks.privacy` watches every command for a minute and more; here a process looks at a clip.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SOCKET = {"x86_64": 41, "aarch64": 198}.get(platform.machine())
"""The number of the system call."""
LOOK = """
from avgn_edge import Recognizer
from avgn_edge.bundle.reader import packaged_bundle_path
with Recognizer.open(device="cpu", threads=1) as recognizer:
    print(recognizer.classify(packaged_bundle_path().parent / "sample.mp4").label)
"""

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or SOCKET is None, reason="system calls are numbered for Linux on x86-64 and ARM"
)


def forbid_internet() -> None:
    """End this process, whichever of its threads or libraries does it, as soon as it opens an internet socket.

    A filter of system calls (seccomp): any user may set one, and nothing in the process takes it away again.
    """
    load, equal, end = 0x20, 0x15, 0x06
    allow, kill_process = 0x7FFF0000, 0x80000000
    family = 16  # where the first argument lies; 2 is AF_INET, 10 AF_INET6
    steps = [(load, 0, 0, 0), (equal, 0, 3, SOCKET), (load, 0, 0, family), (equal, 2, 0, 2), (equal, 1, 0, 10)]
    program = b"".join(struct.pack("HBBI", *step) for step in [*steps, (end, 0, 0, allow), (end, 0, 0, kill_process)])
    text = ctypes.create_string_buffer(program)
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(text)))
    control = ctypes.CDLL(None, use_errno=True).prctl
    if control(38, 1, 0, 0, 0) or control(22, 2, whole, 0, 0):  # PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP
        raise OSError(ctypes.get_errno(), "no filter of system calls")


def run(folder, code, **settings):
    """Run code in a process with an empty home; return how it ended and the files it left that are not our cache's."""
    home, cache = folder / "home", folder / "cache"
    for made in (home, cache):
        made.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in {"ORT_DISABLE_TELEMETRY", "CI"}}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(cache), **settings}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(
        [sys.executable, "-c", f"import test_privacy\ntest_privacy.forbid_internet()\n{code}"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    left = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return done, {str(path) for path in left if path.parts[:2] != ("cache", "avgn-edge")}


def test_a_clip_is_looked_at_without_a_socket_or_a_file(tmp_path):
    pytest.importorskip("onnxruntime")
    done, left = run(tmp_path, LOOK)
    assert (done.returncode, done.stdout, done.stderr) == (0, "6\n", "")
    assert left == set()


def test_onnx_runtimes_telemetry_stays_on_where_the_user_has_it_on(tmp_path):
    ort = pytest.importorskip("onnxruntime")
    if tuple(map(int, ort.__version__.split(".")[:2])) < (1, 29):
        pytest.skip("this ONNX Runtime has none")
    done, left = run(tmp_path, LOOK, ORT_DISABLE_TELEMETRY="0")
    assert done.stdout == "6\n"
    assert any("onnxruntime" in path for path in left)  # so the test before this one would have seen it


def test_openvino_tells_nobody_that_it_is_imported(tmp_path):
    pytest.importorskip("openvino")
    done, left = run(tmp_path, "import time\nfrom avgn_edge.engines import openvino as ov\nov.version()\ntime.sleep(1)")
    assert (done.returncode, done.stderr) == (0, "")
    assert left == set()


def test_openvino_by_itself_does(tmp_path):
    pytest.importorskip("openvino_telemetry")
    done, left = run(tmp_path, "import time, openvino\ntime.sleep(1)")
    assert done.returncode == -signal.SIGSYS or left  # so the test before this one would have seen it


@pytest.mark.parametrize(
    ("family", "code"), [("AF_INET", -signal.SIGSYS), ("AF_INET6", -signal.SIGSYS), ("AF_UNIX", 0)]
)
def test_an_internet_socket_is_seen(tmp_path, family, code):
    done, _ = run(tmp_path, f"import socket\nsocket.socket(socket.{family})")
    assert done.returncode == code
