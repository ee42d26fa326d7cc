"""The picture of accuracy over cost: a real one, with every row in it, or an error before any work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evaluation_makers import a_row

pytest.importorskip("matplotlib", reason="matplotlib comes with the evaluate extra")

import matplotlib.image
from matplotlib.figure import Figure

from avgn_edge._base.errors import AvgnEdgeError, DataError, MissingExtraError
from avgn_edge.data.evaluation import plot as plotting
from avgn_edge.data.evaluation.plot import check_plot, plot

ROWS = (
    a_row(budget="none", mean_gflops=3.387, p95_gflops=5.109, top1=0.907),
    a_row(budget="200mflops", mean_gflops=0.172, p95_gflops=0.176, top1=0.657),
    a_row(budget="2gflops", mean_gflops=1.712, p95_gflops=1.809, top1=0.800),
)


def drawn(rows):
    figure = Figure(layout="constrained")
    plotting._draw(figure, sorted(rows, key=lambda row: row.mean_gflops))
    return figure.axes[0]


def test_the_curve_goes_through_every_row_in_the_order_of_cost():
    axes = drawn(ROWS)
    curve = next(line for line in axes.lines if line.get_marker() == "o")
    assert curve.get_xydata() == pytest.approx(np.array([[0.172, 65.7], [1.712, 80.0], [3.387, 90.7]]))
    assert [text.get_text() for text in axes.texts] == ["200mflops", "2gflops", "no budget"]
    spans = [tuple(segment.ravel()) for segment in axes.collections[0].get_segments()]
    assert [pytest.approx(span) for span in spans] == [
        (0.172, 65.7, 0.176, 65.7),
        (1.712, 80.0, 1.809, 80.0),
        (3.387, 90.7, 5.109, 90.7),
    ]
    assert axes.get_ylabel().startswith("top-1")
    title = axes.get_title(loc="left")
    assert all(word in title for word in ("made", "300 clips", "cpu", "fp32"))


def test_several_labels_a_clip_are_drawn_by_their_map():
    axes = drawn([a_row(task="multi-label", mean_average_precision=0.64, top1=0.9)])
    assert axes.get_ylabel().startswith("mAP")
    assert axes.lines[0].get_ydata() == pytest.approx([64.0])


def test_the_names_of_close_points_do_not_cover_each_other():
    close = [a_row(budget=f"{n}mflops", mean_gflops=n / 1000, p95_gflops=n / 1000) for n in (500, 505, 510, 2000)]
    axes = drawn([*close, a_row(budget="none", mean_gflops=2.0, p95_gflops=2.0)])
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == 5
    for index, box in enumerate(boxes):
        assert axes.bbox.xmin < box.xmin
        assert box.xmax < axes.bbox.xmax
        assert not any(box.overlaps(other) for other in boxes[:index])


def test_no_name_is_dropped_where_there_is_no_room():
    axes = drawn([a_row(budget=f"{n}mflops") for n in range(1, 26)])
    assert len(axes.texts) == 25


@pytest.mark.parametrize(("name", "start"), [("a.png", b"\x89PNG"), ("b.SVG", b"<?xml"), ("c.pdf", b"%PDF")])
def test_the_suffix_says_the_format(tmp_path, name, start):
    plot(ROWS, tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_the_png_is_a_picture_with_something_in_it(tmp_path):
    plot(ROWS, tmp_path / "a.png")
    pixels = matplotlib.image.imread(tmp_path / "a.png")
    assert pixels.shape[:2] == (750, 1200)
    ink = np.abs(pixels[..., :3] - np.array([0x1F, 0x4E, 0x79]) / 255).max(axis=-1) < 0.02
    rows, columns = np.nonzero(ink)
    assert np.ptp(columns) > 600  # the curve spans the picture
    assert np.ptp(rows) > 100


@pytest.mark.parametrize("name", ["a.gif", "a", "no/a.png", "folder.png"])
def test_a_picture_that_could_not_be_written_is_refused(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(DataError, match="plot"):
        check_plot(tmp_path / name)


def test_an_older_picture_stays_when_drawing_fails(tmp_path, monkeypatch):
    def savefig(_figure, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / "a.png").write_bytes(b"old")
    monkeypatch.setattr(Figure, "savefig", savefig)
    with pytest.raises(AvgnEdgeError, match="No space"):
        plot(ROWS, tmp_path / "a.png")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"old"


def test_missing_matplotlib_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"matplotlib.*avgn-edge\[evaluate\]"):
        check_plot(tmp_path / "a.png")


def test_evaluation_needs_no_pytorch_and_its_picture_no_pyplot(tmp_path):
    code = (
        "import sys; from pathlib import Path; from evaluation_makers import a_row;"
        "import avgn_edge.data.evaluation.measuring, avgn_edge.data.evaluation.plot as p;"
        "early = {'matplotlib', 'sklearn', 'scipy'} & set(sys.modules);"
        f"p.plot([a_row()], Path({str(tmp_path / 'a.png')!r}));"
        "print(sorted(early), sorted({'torch', 'onnx', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.stdout, done.returncode) == ("[] []\n", 0), done.stderr
