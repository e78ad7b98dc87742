"""Where outputs go: files, links, devices, pipes and folders, for everything that writes one file."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from bayestl.cli import outputs
from bayestl.files import output
from bayestl.files.output import check_folder, check_output, write_output
from bayestl.report import Section, html

FRAME = pd.DataFrame({"gap": [1.1]})
WRITERS = {
    "text": lambda path: write_output(path, "gap\n1.1\n"),
    "bytes": lambda path: write_output(path, b"gap"),
    "csv": lambda path: outputs.write(FRAME, path),
    "html": lambda path: html.write(path, "gaps", [Section("Gaps").text("1.1 eV")]),
}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


def names(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_a_new_file_and_the_folders_above_it(write, tmp_path):
    write(tmp_path / "a" / "b" / "out.csv")
    assert names(tmp_path) == ["a", "a/b", "a/b/out.csv"]
    assert (tmp_path / "a/b/out.csv").stat().st_size > 0


def test_an_earlier_file_is_replaced_and_keeps_its_rights(write, tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("earlier")
    path.chmod(0o640)
    write(path)
    assert "earlier" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o640
    assert names(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_stays_and_its_target_is_written(write, there, tmp_path):
    target, link, further = tmp_path / "target.csv", tmp_path / "link.csv", tmp_path / "further.csv"
    if there:
        target.write_text("earlier")
    link.symlink_to(target)
    further.symlink_to(link)
    write(further)
    assert link.is_symlink()
    assert further.is_symlink()
    assert target.stat().st_size > 0
    assert "earlier" not in target.read_text()


def test_a_device_and_a_pipe_stay_what_they_are(write, tmp_path):
    write(Path(os.devnull))
    assert Path(os.devnull).is_char_device()
    pipe, got = tmp_path / "pipe.csv", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(10)
    assert len(got[0]) > 0
    assert pipe.is_fifo()
    assert names(tmp_path) == ["pipe.csv"]


@pytest.mark.parametrize(
    "path", [".", "box", "box/", "to-box", "file/out.csv", "file/deep/out.csv", "loop", "x" * 300, "/dev/full", ""]
)
def test_what_cannot_be_written_is_refused_in_words_and_nothing_is_left(write, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("box").mkdir()
    Path("to-box").symlink_to("box")
    Path("file").write_text("earlier")
    Path("loop").symlink_to("loop")
    before = names(tmp_path)
    with pytest.raises(ValueError, match=r"is a folder|cannot be written: [a-z]|tables are written as"):
        write(Path(path))
    if path != "/dev/full":  # a device tells only when it is written to
        with pytest.raises(ValueError, match=r"is a folder|cannot be written: [a-z]|tables are written as"):
            check_output(path)
    assert names(tmp_path) == before
    assert Path("file").read_text() == "earlier"


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
@pytest.mark.parametrize("where", ["out.csv", "new/folders/out.csv"])
def test_an_error_in_the_middle_of_writing_leaves_what_was_there(write, fault, where, tmp_path, monkeypatch):
    if where == "out.csv":
        (tmp_path / where).write_text("earlier")
    before, written = names(tmp_path), []

    def fail(descriptor):
        written.append(names(tmp_path))
        if any(".part" in name for name in written[-1]):
            raise fault

    monkeypatch.setattr(output.os, "fsync", fail)
    with pytest.raises((ValueError, KeyboardInterrupt, MemoryError), match=r"no space left|^$"):
        write(tmp_path / where)
    assert any(".part" in name for name in written[-1])
    assert names(tmp_path) == before
    assert where != "out.csv" or (tmp_path / where).read_text() == "earlier"


def test_a_full_disk_is_seen_before_the_work(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output.os, "fsync", full)
    for path in (tmp_path / "out.csv", tmp_path / "new" / "out.csv"):
        with pytest.raises(ValueError, match=r"out.csv cannot be written: no space left on device"):
            check_output(path)
    with pytest.raises(ValueError, match="cannot be written"):
        check_folder(tmp_path / "new")
    assert names(tmp_path) == []


def test_inputs_are_not_replaced(tmp_path):
    data, link, model = tmp_path / "data.csv", tmp_path / "link.csv", tmp_path / "model"
    data.write_text("gap\n1.1\n")
    link.symlink_to(data)
    os.link(data, tmp_path / "same.csv")
    model.mkdir()
    for name in ("model.json", "arrays.safetensors", "report.html"):
        (model / name).write_text("{}")
    for path in (
        data,
        link,
        tmp_path / "same.csv",
        tmp_path / "model" / ".." / "data.csv",
        model / "model.json",
        model / "arrays.safetensors",
    ):
        with pytest.raises(ValueError, match="is read by this command"):
            check_output(path, [data, model])
    check_output(model / "report.html", [data, model])
    with pytest.raises(ValueError, match="exists: choose another name, or replace it with --force"):
        check_output(model / "report.html", [data, model], replace=False)
    assert check_output(tmp_path / "new.csv", [data, model, tmp_path / "none"], replace=False) == tmp_path / "new.csv"


@pytest.mark.parametrize("path", ["file", "file/sub", "loop", "x" * 300, "/dev/null", "pipe"])
def test_a_folder_that_cannot_be_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("earlier")
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    with pytest.raises(ValueError, match=r"is a file: name a folder|cannot be written"):
        check_folder(path)
    assert check_folder("new/deep") == Path("new/deep")
    assert not Path("new").exists()


def test_parquet_is_written_by_its_suffix(tmp_path):
    pytest.importorskip("pyarrow")
    outputs.write(FRAME, tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(io.BytesIO((tmp_path / "out.parquet").read_bytes())), FRAME)


@pytest.mark.slow
def test_kills_while_writing_leave_the_earlier_file_or_the_new_one(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("0" * 1_000_000)
    code = (
        "import sys; from bayestl.files.output import write_output; k = 0\n"
        "print('ready', flush=True)\n"
        "while True:\n    k += 1; write_output(sys.argv[1], f'{k % 10}' * 1000000)\n"
    )
    for k in range(40):
        process = subprocess.Popen(
            [sys.executable, "-c", code, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        process.stdout.readline()
        time.sleep(0.02 + 0.003 * k)
        process.send_signal(signal.SIGINT if k % 2 else signal.SIGKILL)
        process.communicate()
        text = path.read_text()
        assert len(text) == 1_000_000
        assert len(set(text)) == 1
        scratch = [name for name in names(tmp_path) if name != "out.csv"]
        assert k % 2 == 0 or scratch == []
        for name in scratch:
            (tmp_path / name).unlink()
