"""A small web service: post a clip, get its answer as JSON.

    pip install 'avgn-edge[cpu,examples]'
    python examples/service.py --port 8000
    curl --data-binary @clip.mp4 'http://127.0.0.1:8000/classify?budget=1gflops'

The body is the clip itself. It goes to a temporary file, so that memory does not grow with it; as many clips are
classified at once as `--workers` says, and the others wait. The answer is the object that
`avgn-edge classify --json` prints.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Annotated, Any

import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request

from avgn_edge import BudgetError, ClipError, Recognizer

MOST_BYTES = 512 * 2**20


def service(model: str | None = None, *, workers: int = 1, most_bytes: int = MOST_BYTES) -> FastAPI:
    """The application: `GET /health` and `POST /classify?budget=B&top=N`."""
    turns = asyncio.Semaphore(workers)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with Recognizer.open(model) as recognizer:  # opened once; safe to use from several threads
            app.state.recognizer = recognizer
            yield

    app = FastAPI(title="avgn-edge", lifespan=lifespan)

    @app.get("/health")
    def health() -> dict[str, Any]:
        recognizer: Recognizer = app.state.recognizer
        return {
            "model": recognizer.manifest.name,
            "device": recognizer.device.to_dict(),
            "precision": recognizer.precision,
            "labels": list(recognizer.labels),
        }

    @app.post("/classify")
    async def classify(
        request: Request, budget: str = "none", top: Annotated[int, Query(ge=1, le=100)] = 5
    ) -> dict[str, Any]:
        recognizer: Recognizer = app.state.recognizer
        with tempfile.TemporaryFile() as clip:
            await _receive(request, clip, most_bytes)
            async with turns:
                try:
                    result = await asyncio.to_thread(recognizer.classify, clip, budget, top=top)
                except (ClipError, BudgetError) as error:  # the request's fault; anything else is ours, and a 500
                    raise HTTPException(422, {"why": error.why, "advice": error.what_to_do}) from error
        return {**result.to_dict(), "clip": request.headers.get("x-clip-name", "upload")}

    return app


async def _receive(request: Request, file: IO[bytes], most_bytes: int) -> None:
    received = 0
    async for piece in request.stream():
        received += len(piece)
        if received > most_bytes:
            raise HTTPException(413, {"why": f"the clip is larger than {most_bytes} bytes"})
        file.write(piece)


def main() -> None:
    """Serve until interrupted."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", help="a bundle's folder [the packaged one]")
    options.add_argument("--host", default="127.0.0.1")
    options.add_argument("--port", type=int, default=8000)
    options.add_argument("--workers", type=int, default=1, help="clips at once [1: all cores work on one]")
    asked = options.parse_args()
    uvicorn.run(service(asked.model, workers=asked.workers), host=asked.host, port=asked.port)


if __name__ == "__main__":
    main()
