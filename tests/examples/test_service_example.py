"""The example of a web service, answering real requests on loopback."""

import importlib.util
import json
import threading
import time
import urllib.error
import urllib.request
from importlib import resources
from pathlib import Path

import pytest
import uvicorn

SERVICE = Path(__file__).parents[2] / "examples" / "service.py"
SAMPLE = Path(str(resources.files("avgn_edge"))) / "packaged" / "sample.mp4"


@pytest.fixture(scope="module")
def address():
    spec = importlib.util.spec_from_file_location("service_example", SERVICE)
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)
    server = uvicorn.Server(
        uvicorn.Config(service.service(most_bytes=8 * 2**20), host="127.0.0.1", port=0, log_level="error")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    for _ in range(600):
        if server.started:
            break
        assert thread.is_alive(), "the service ended before it began"
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def post(address, body, query=""):
    request = urllib.request.Request(f"{address}/classify{query}", data=body, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_it_says_what_it_runs_on(address):
    with urllib.request.urlopen(f"{address}/health", timeout=60) as answer:
        said = json.load(answer)
    assert said["device"]["used"] == "cpu"
    assert "6" in said["labels"]


def test_a_clip_is_answered_inside_its_budget(address):
    status, answer = post(address, SAMPLE.read_bytes(), "?budget=1gflops&top=3")
    assert status == 200
    assert answer["label"] == "6"
    assert len(answer["top"]) == 3
    assert 0 < answer["budget"]["spent_gflops"] <= 1


def test_many_at_once_are_all_answered(address):
    body, answers = SAMPLE.read_bytes(), []
    threads = [
        threading.Thread(target=lambda: answers.append(post(address, body, "?budget=500mflops"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for status, _ in answers] == [200] * 4


@pytest.mark.parametrize(
    ("body", "query", "status"),
    [
        (b"this is no clip", "", 422),
        (b"", "", 422),
        (b"x" * (9 * 2**20), "", 413),
        (b"x", "?budget=lots", 422),
        (b"x", "?top=0", 422),
    ],
)
def test_what_is_wrong_with_a_request_is_said(address, body, query, status):
    got, answer = post(address, body, query)
    assert got == status
    assert answer["detail"]


def test_it_goes_on_after_bad_requests(address):
    assert post(address, b"no clip")[0] == 422
    assert post(address, SAMPLE.read_bytes(), "?budget=500mflops")[0] == 200
