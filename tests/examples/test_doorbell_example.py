"""The doorbell of examples/, fed by generators, and telling a service on loopback."""

import importlib.util
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from itertools import islice
from pathlib import Path

import pytest

from avgn_edge import Recognizer

DOORBELL = Path(__file__).parents[2] / "examples" / "doorbell.py"
SAMPLE = Path(str(resources.files("avgn_edge"))) / "packaged" / "sample.mp4"


@pytest.fixture(scope="module")
def doorbell():
    spec = importlib.util.spec_from_file_location("doorbell_example", DOORBELL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def recognizer():
    with Recognizer.open() as opened:
        yield opened


def test_it_rings_for_its_class_and_for_no_other(doorbell, recognizer):
    rung = []
    doorbell.ring(recognizer, doorbell.pieces_of(str(SAMPLE)), {"6"}, rung.append)
    assert rung
    assert {event.label for event in rung} == {"6"}
    silent = []
    doorbell.ring(recognizer, doorbell.pieces_of(str(SAMPLE)), {"0", "3"}, silent.append)
    assert not silent


def test_a_camera_that_stops_early_ends_it(doorbell, recognizer):
    doorbell.ring(recognizer, islice(doorbell.pieces_of(str(SAMPLE)), 20), {"6"}, pytest.fail)


def test_it_tells_a_service(doorbell, recognizer):
    told = []

    class Service(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/rang"
        doorbell.ring(
            recognizer,
            doorbell.pieces_of(str(SAMPLE)),
            {"6"},
            lambda event: doorbell.post(event, address),
        )
        server.shutdown()
    assert told
    assert told[0]["event"] == "start"
    assert told[0]["label"] == "6"
