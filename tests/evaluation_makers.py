"""Makes what tests of evaluation are about: rows and results by hand, and a recognizer without networks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from network_makers import FakeBundle, FakeEngine, fake_manifest

from avgn_edge.data.evaluation.row import Row
from avgn_edge.runtime.moments_table import MomentReport
from avgn_edge.runtime.recognizer import Recognizer
from avgn_edge.runtime.result import BudgetReport, ClassScore, Result, Timing

COST = {
    "audio_encoder": (0, 1_000_000),  # 16 MFLOPs a clip
    "global_encoder": (0, 10_000_000),
    "saliency": (4_000_000, 0),
    "spatial": (5_000_000, 0),
    "local_encoder": (0, 20_000_000),
    "classifier": (1_000_000, 0),
}


def a_row(**changes):
    """A row in which every number is another."""
    row = Row(
        model="made",
        device="cpu",
        precision="fp32",
        task="single-label",
        budget="2gflops",
        clips=300,
        failed=(),
        unknown_clips=0,
        top1=0.8,
        top5=0.92,
        mean_average_precision=0.85,
        average_precision_classes=10,
        expected_calibration_error=0.031,
        chance=0.1,
        mean_gflops=1.712,
        p95_gflops=1.809,
        mean_paper_gflops=None,
        mean_glances=4.7,
        mean_looks=1.1,
        mean_ms=327.0,
        p95_ms=433.0,
        exits={"confident": 200, "budget": 90, "looks": 10, "no-visual": 0},
        when=0.823,
        when_clips=300,
        where=0.96,
        where_clips=177,
        where_of_readable=0.77,
        readable_clips=222,
    )
    return replace(row, **changes)


def a_moment(index, time_s, *, saliency=None, rank=None, box=None):
    return MomentReport(index, time_s, saliency, True, rank, box, None, None)


def a_result(moments=(), duration_s=16.0):
    none = np.zeros(2, dtype=np.float32)
    return Result(
        *("clip", duration_s, "a", 0.5, (ClassScore("a", 0.5),), BudgetReport("none", 1.0, 8, 1), "looks"),
        *(tuple(moments), Timing(1.0, {}, 1.0), "cpu", "fp32", "made", (), none, ()),
    )


def fake_recognizer(**changes):
    """A recognizer that opens clips for real and answers at random, the same for the same seed."""
    cost = changes.pop("cost", COST)
    manifest = fake_manifest(cost, **changes)
    return Recognizer(FakeBundle(manifest), FakeEngine(manifest), "fp32")


def write_truth(folder, truths):
    (folder / "truth.json").write_text(json.dumps(truths))
