"""What a batch is made of: files, folders, patterns, a list on standard input, and what was done before."""

from __future__ import annotations

import json
import os
import sys
import threading
import tracemalloc
from itertools import islice

import pytest

from avgn_edge._base.errors import DataError
from avgn_edge.cli import inputs
from avgn_edge.cli.inputs import find_clips, gather, skip_done


@pytest.fixture
def piped(monkeypatch):
    """Give bytes, or a function that writes some, to standard input."""
    opened = []

    def pipe(source):
        ours, theirs = os.pipe()
        opened.append(ours)
        monkeypatch.setattr(inputs.Names.__init__, "__defaults__", (ours,))

        def write():
            with os.fdopen(theirs, "wb") as file:
                file.write(source) if isinstance(source, bytes) else source(file)

        threading.Thread(target=write, daemon=True).start()
        return ours

    yield pipe
    for descriptor in opened:
        os.close(descriptor)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in (
        "b.mp4",
        "a.MOV",
        "notes.txt",
        "x.dat",
        ".h.mp4",
        "in/c.mp4",
        "in/deep/d.mp4",
        ".secret/e.mp4",
        "f[1].mp4",
    ):
        path = tmp_path / "clips" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "clips" / "in" / "loop").symlink_to(tmp_path / "clips", target_is_directory=True)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "matched"),
    [
        ("clips/*.mp4", "clips/b.mp4 clips/f[1].mp4"),
        ("./clips/?.mp4", "./clips/b.mp4"),
        ("clips/*.dat", "clips/x.dat"),  # the suffix is stated: it is meant
        ("clips/[ab].*", "clips/a.MOV clips/b.mp4"),
        ("clips/*", "clips/a.MOV clips/b.mp4 clips/f[1].mp4 clips/in/c.mp4"),  # a folder stands for its media
        ("cl*/in", "clips/in/c.mp4"),
        ("clips/**", "clips/a.MOV clips/b.mp4 clips/f[1].mp4 clips/in/c.mp4 clips/in/deep/d.mp4"),
        ("**/c.mp4", "clips/in/c.mp4"),
        ("**/**/d.mp4", "clips/in/deep/d.mp4"),
        ("clips/**/in/**/*.mp4", "clips/in/c.mp4 clips/in/deep/d.mp4"),
        ("clips/.h*", "clips/.h.mp4"),
        ("clips/f[1].mp4", "clips/f[1].mp4"),  # a file has this very name
        ("clips/[f][[]1].mp4", "clips/f[1].mp4"),
    ],
)
def test_a_pattern_stands_for_the_media_it_matches(tree, pattern, matched):
    listed = list(find_clips([pattern]))
    assert [item.clip for item in listed] == matched.split()
    assert not any(item.error for item in listed)


def test_a_pattern_from_the_root_keeps_it(tree):
    assert [item.clip for item in find_clips([f"{tree}/*/b.*"])] == [f"{tree}/clips/b.mp4"]


@pytest.mark.parametrize("pattern", ["none/*.mp4", "clips/*.webm", "clips/notes*/*", "a[b.mp4"])
def test_a_pattern_that_matches_nothing_is_one_failure_that_names_it(tree, pattern):
    (item,) = find_clips([pattern])
    assert item.clip == pattern
    assert str(item.error).startswith(f"{pattern}: no such file")


def test_two_loops_of_links_do_not_keep_a_pattern_going(tree):
    (tree / "clips" / "again").symlink_to(tree, target_is_directory=True)
    assert len(list(find_clips(["**"]))) == 5


@pytest.mark.parametrize(
    ("data", "listed"),
    [
        (b"a.mp4\nb c.mp4\n\n\nd.mp4", ["a.mp4", "b c.mp4", "d.mp4"]),
        (b"a.mp4\r\nb.mp4\r\n", ["a.mp4", "b.mp4"]),
        (b"a\nb.mp4\0\0c.mp4\r\0", ["a\nb.mp4", "c.mp4\r"]),
        (b"\xff.mp4\n", [os.fsdecode(b"\xff.mp4")]),
        (b"only.mp4", ["only.mp4"]),
        (b"-\n*.mp4\n", ["-", "*.mp4"]),  # names, as they stand
    ],
)
def test_a_list_is_names_a_line_each_or_nul_ended(piped, data, listed):
    piped(data)
    batch = gather(["-"])
    assert [item.clip for item in batch] == listed
    assert batch.total is None


def test_an_empty_list_is_said(piped, capfd):
    piped(b"\n\n")
    assert list(gather(["-"])) == []
    assert capfd.readouterr().err == "warning: standard input names no clips\n"


def test_a_list_stands_among_the_arguments_and_names_folders_too(piped, tree):
    piped(b"clips/in\nz.mp4\n")
    listed = [item.clip for item in gather(["y.mp4", "-", "x.mp4"])]
    assert listed == ["y.mp4", "clips/in/c.mp4", "z.mp4", "x.mp4"]


def test_a_name_is_there_before_the_next_is_written(piped):
    go_on = threading.Event()

    def write(file):
        file.write(b"a.mp4\nb")
        file.flush()
        assert go_on.wait(20)
        file.write(b".mp4\n")

    piped(write)
    batch = gather(["-"])
    assert [item.clip for item in batch.first] == ["a.mp4"]
    go_on.set()
    assert [item.clip for item in batch.rest] == ["b.mp4"]


def test_a_long_list_is_never_held(piped):
    def write(file):
        for number in range(50_000):
            file.write(b"a/folder/of/clips/%012d.mp4\n" % number)

    piped(write)
    tracemalloc.start()
    try:
        assert sum(1 for _ in gather(["-"])) == 50_000
        assert tracemalloc.get_traced_memory()[1] < 2_000_000  # the names alone take 4 MB
    finally:
        tracemalloc.stop()


def test_what_is_no_list_is_refused_before_it_fills_the_memory(piped):
    piped(lambda file: file.writelines([b"x" * 60_000] * 3))
    with pytest.raises(DataError, match="more than 64 KiB"):
        gather(["-"])


def test_two_lists_are_wrong_usage(run, bundle):
    done = run("classify", "-", "-", "-m", bundle)
    assert (done.code, done.stdout, len(done.errors), len(done.stderr.splitlines())) == (2, "", 1, 1)


def row(clip, **values):
    return json.dumps({"clip": clip, **(values or {"label": "dog"})})


def test_only_answered_clips_are_done(tmp_path, capfd):
    file = tmp_path / "done.jsonl"
    file.write_text("\n".join([row("a"), row("b", error="b: why: what"), row("c", error="x"), row("c"), row("\udcff")]))
    assert skip_done(file, as_json=True) == {"a", "c", "\udcff"}
    assert capfd.readouterr().err == f"{file}: 3 clips done before\n"


def test_a_file_that_is_not_there_holds_nothing(tmp_path, capfd):
    assert skip_done(tmp_path / "none.jsonl", as_json=True) == frozenset()
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kept", range(len(row("b"))))
def test_a_last_line_cut_off_anywhere_is_no_answer(tmp_path, kept):
    file = tmp_path / "done.jsonl"
    file.write_text(row("a") + "\n" + row("b")[:kept])
    assert skip_done(file, as_json=True) == {"a"}


def test_strange_lines_among_answers_are_passed_over_aloud(tmp_path, capfd):
    file = tmp_path / "done.jsonl"
    file.write_bytes(
        b'{"clip": "x", "la{"clip": "x"}\n' + row("a").encode() + b"\n[1]\n\xff\n\n" + b"[" * 100_000 + b"\n"
    )
    assert skip_done(file, as_json=True) == {"a"}
    assert "warning: " in (told := capfd.readouterr().err)
    assert "4 lines" in told


@pytest.mark.parametrize("content", [b"path,label\na.mp4,dog\n", b"\x00\x01\n\xff\n", b'{"label": "dog"}\n'])
def test_a_file_that_is_something_else_is_refused(tmp_path, content):
    file = tmp_path / "labels.csv"
    file.write_bytes(content)
    with pytest.raises(DataError, match="no line in it is an answer"):
        skip_done(file, as_json=True)


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        skip_done(tmp_path, as_json=True)


def test_going_on_needs_json(run, bundle, media, tmp_path):
    done = run("classify", media / "sound.wav", "-m", bundle, "--skip-done", tmp_path / "done.jsonl")
    assert (done.code, done.stdout, len(done.errors), len(done.stderr.splitlines())) == (2, "", 1, 1)
    assert "--json" in done.errors[0]


@pytest.fixture
def onto():
    """Send standard output to the end of a file, or over it, as a shell does."""
    kept = os.dup(1)

    def send(path, mode):
        sys.stdout.flush()
        with path.open(mode) as file:
            os.dup2(file.fileno(), 1)

    yield send
    sys.stdout.flush()
    os.dup2(kept, 1)
    os.close(kept)


@pytest.mark.parametrize(
    ("before", "kept", "clips"),
    [
        (row("a") + "\n" + row("b")[:20], row("a") + "\n", {"a"}),
        (row("a") + "\n" + row("b"), row("a") + "\n" + row("b") + "\n", {"a", "b"}),
        (row("a")[:20], "", set()),
        (row("a") + "\n", row("a") + "\n", {"a"}),
    ],
)
def test_what_is_appended_begins_a_line_of_its_own(tmp_path, onto, before, kept, clips, capfd):
    file = tmp_path / "done.jsonl"
    file.write_text(before)
    with capfd.disabled():
        onto(file, "a")
        assert skip_done(file, as_json=True) == clips
    assert file.read_text() == kept


@pytest.mark.skipif(sys.platform == "win32", reason="cannot be told there")
def test_an_output_that_overwrites_the_file_is_wrong_usage(tmp_path, onto, capfd):
    file = tmp_path / "done.jsonl"
    with capfd.disabled():
        onto(file, "w")
        with pytest.raises(DataError, match=">>"):
            skip_done(file, as_json=True)


def test_done_clips_are_left_out_and_failures_tried_again(run, bundle, media, tmp_path):
    file = tmp_path / "done.jsonl"
    clips = [media / "sound.wav", media / "empty.mp4", media / "silent.mp4"]
    first = run("classify", *clips, "-m", bundle, "--json", "--skip-done", file)
    assert (first.code, len(first.objects)) == (1, 3)
    file.write_text("".join(line + "\n" for line in islice(first.lines, 2)))
    again = run("classify", *clips, "-m", bundle, "--json", "--skip-done", file)
    assert [row["clip"] for row in again.objects] == [str(clip) for clip in clips[1:]]
    assert again.stderr.splitlines()[0] == f"{file}: 1 clip done before"
    file.write_text(first.stdout)
    assert run("classify", clips[0], "-m", bundle, "--json", "--skip-done", file).stdout == ""
