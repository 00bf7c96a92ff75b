"""Files are whole or not there: on a full disk, after a kill, and between two who write at once."""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fprin_utils import files
from fprin_utils.files import (
    InUseError,
    Lock,
    clear_folder,
    hold,
    move_all,
    open_whole,
    write_all_whole,
    write_whole,
)

NAMES = ("01.json", "01.png", "01.pdf")
# Runs a save again and again, each time in a process of its own that meets an error, or is killed,
# at the next of the calls that change the disk; looks at what is there, saves once more, and looks
# again. Calls are counted where Python itself tells of them, and where bytes are written.
SCRIPT = """
import sys, types
# Without torch, which storing does not need, the process is a small one that forks fast.
package = types.ModuleType("fprin_utils")
package.__path__ = [sys.argv[2]]
sys.modules |= {"fprin_utils": package, "torch": types.ModuleType("torch")}
from fprin_utils import files
import errno, json, os, signal, sys
from pathlib import Path
folder = Path(sys.argv[1])
NAMES = ("01.json", "01.png", "01.pdf")
calls, failing, killing = 0, None, None

def meet():
    global calls
    calls += 1
    if calls == killing:
        os.kill(os.getpid(), signal.SIGKILL)
    if calls == failing:
        raise OSError(errno.ENOSPC, "No space left on device")

CHANGES = ("os.rename", "os.remove", "os.link", "os.mkdir")
renamings = set()  # numbers of the calls that rename to one of the names
def watch(event, arguments):
    if event in CHANGES:
        if event == "os.rename" and Path(arguments[1]).name in NAMES:
            renamings.add(calls + 1)
        meet()
    elif event == "open" and arguments[2] & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
        meet()
sys.addaudithook(watch)
fsync = os.fsync
os.fsync = lambda file: (meet(), fsync(file))[1]
class Full:
    # A file whose bytes are written when it is flushed, as on a full disk.
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.file.close()
    def __getattr__(self, name):
        return getattr(self.file, name)
    def flush(self):
        self.file.write(b"")
        meet()
        self.file.flush()
real_open = Path.open
def open_file(self, mode="r", *rest, **options):
    file = real_open(self, mode, *rest, **options)
    return Full(file) if mode == "wb" else file
Path.open = open_file

def save_as(content, save):
    if save == "write":
        files.write_all_whole({folder / name: content for name in NAMES})
    else:
        source = folder / "staging"
        source.mkdir(exist_ok=True)
        for name in NAMES:
            (source / name).write_bytes(content)
        files.move_all({source / name: folder / name for name in NAMES})

def look():
    found = {name: (folder / name).read_bytes().decode() if (folder / name).exists() else None
             for name in NAMES}
    hidden = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    return [sorted({str(value) for value in found.values()}), hidden]

def try_at(save, was_there, fail_at, kill_at, then_clear):
    global calls, failing, killing
    for path in folder.iterdir():
        if path.is_file():
            path.unlink()
    if was_there:
        save_as(b"earlier", save)
    renamings.clear()
    child = os.fork()
    if child == 0:
        calls, failing, killing = 0, fail_at, kill_at
        try:
            save_as(b"new", save)
        except OSError:
            os._exit(1)
        os._exit(0 if calls >= (kill_at or fail_at) else 2)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls, failing, killing = 0, None, None
    renamings.clear()
    found = [look()]
    if then_clear:
        files.clear_folder(folder)
        found.append(look())
    calls = 0
    save_as(b"later", save)
    print(json.dumps([was_there, fail_at, kill_at, status, found, look()]))
    return status

for save in ("write", "move"):
    for was_there in (True, False):
        for then_clear in (True, False):
            number = 1
            while try_at(save, was_there, number, None, then_clear) != 2:
                number += 1
            number = 1
            while try_at(save, was_there, None, number, then_clear) != 2:
                number += 1
            # The undoing of what failed is killed.
            for fail_at in sorted(call - 3 * (not was_there) for call in renamings):
                for later in range(1, 9):
                    try_at(save, was_there, fail_at, fail_at + later, then_clear)
"""


def test_a_full_disk_or_a_kill_at_any_moment_leaves_a_whole_set(tmp_path):
    command = [sys.executable, "-c", SCRIPT, str(tmp_path), str(Path(files.__file__).parent)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    tried = [json.loads(line) for line in ended.stdout.splitlines()]
    assert max(row[2] or 0 for row in tried) > 25, "each file is opened, written and renamed"
    assert {row[3] for row in tried} == {0, 1, 2, -9}
    for was_there, fail_at, kill_at, status, found, later in tried:
        where = f"fail {fail_at}, kill {kill_at}: status {status}, {found}, {later}"
        before, new = ["earlier" if was_there else "None"], ["new"]
        if status != -9:  # Told of an error, or not, there and then.
            assert found[0][0] == (before if status == 1 else new), where
        for contents, _ in found[1:]:
            assert contents in (before, new), where
        assert later == [["later"], []], where


def test_what_stands_in_the_way_of_one_file_keeps_all_from_being_written(tmp_path):
    (tmp_path / "01.json").write_bytes(b"earlier")
    (tmp_path / "01.pdf").mkdir()
    with pytest.raises(IsADirectoryError, match=r"01\.pdf is a folder; a file is to be written"):
        write_all_whole({tmp_path / name: b"new" for name in NAMES})
    assert (tmp_path / "01.json").read_bytes() == b"earlier"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["01.json", "01.pdf"]


def test_a_disk_without_hard_links_does_as_well(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    replace = Path.replace
    for target in NAMES:
        (tmp_path / target).write_bytes(b"earlier")

    def replace_or_fail(self, target):
        if Path(target).name == "01.pdf" and self.name.endswith(".aside"):
            raise OSError("no")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", replace_or_fail)
    with pytest.raises(OSError, match="no"):
        write_all_whole({tmp_path / name: b"new" for name in NAMES})
    assert {(tmp_path / name).read_bytes() for name in NAMES} == {b"earlier"}
    assert len(list(tmp_path.iterdir())) == 3


def test_a_save_clears_what_the_killed_left_of_the_same_file_alone(tmp_path):
    kept = [".01.png.2.77.aside", ".01.png.x.aside", ".02.png.77.aside", ".01.png.77.earlierx"]
    left = [".01.png.77.aside", ".01.png.77.earlier", "..01.png.77.moves.77.aside", ".01.png.lock"]
    for name in (*kept, *left):
        (tmp_path / name).touch()
    write_whole(tmp_path / "01.png", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*kept, "01.png"])


def test_files_that_only_look_like_a_list_of_moves_are_left_alone(tmp_path):
    for name, text in ((".a.1.moves", "not JSON"), (".b.1.back", "3"), (".c.1.moves", "[[1]]")):
        (tmp_path / name).write_text(text)
    write_all_whole({tmp_path / name: b"new" for name in NAMES})
    clear_folder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 6


def test_a_lock_is_held_by_one_and_freed_when_its_process_is_killed(tmp_path):
    path = tmp_path / "lock"
    script = (
        "import sys, time; from pathlib import Path; from fprin_utils.files import Lock\n"
        "lock = Lock(Path(sys.argv[1]), 'it'); lock.take(); print('held', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout.readline() == "held\n"
        lock = Lock(path, "the figure")
        with pytest.raises(InUseError, match=rf"^the figure is in use by process {holder.pid} on "):
            lock.take(0.1)
        assert path.exists()
        holder.kill()
    lock.take(10)
    with pytest.raises(InUseError):
        Lock(path, "it").take()
    lock.free()
    lock.free()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_whose_file_was_removed_keeps_nobody_out_and_removes_no_other(tmp_path):
    path = tmp_path / "lock"
    first, second = Lock(path, "it"), Lock(path, "it")
    first.take()
    path.unlink()
    second.take()
    first.free()
    assert path.exists(), "it is the second's"
    second.free()
    assert not path.exists()


def test_locks_hand_over_without_two_holders(tmp_path):
    path, inside = tmp_path / "lock", []

    def work(_):
        for _ in range(30):
            lock = Lock(path, "it")
            lock.take(60)
            inside.append(1)
            assert len(inside) == 1
            time.sleep(0.0005)
            inside.pop()
            lock.free()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fcntl", [None, "without locks"])
def test_a_system_or_disk_without_locks_does_as_well(tmp_path, monkeypatch, fcntl):
    def refuse(*_):
        raise OSError("no locks here")

    if fcntl is None:
        monkeypatch.setattr(files, "fcntl", None)
    else:
        monkeypatch.setattr(files.fcntl, "flock", refuse)
    write_whole(tmp_path / "file", "text")
    move_all({tmp_path / "file": tmp_path / "moved"})
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


def test_two_who_save_the_same_figure_at_once_mix_nothing(tmp_path):
    def save(content):
        for _ in range(20):
            write_all_whole({tmp_path / name: content for name in NAMES})
            with hold(*(tmp_path / name for name in NAMES)):
                seen.append({(tmp_path / name).read_bytes() for name in NAMES})

    seen = []
    with ThreadPoolExecutor(3) as pool:
        # Threads of one process would use the same names, if it were not for the locks.
        list(pool.map(save, [b"1" * 9000, b"2" * 9000, b"3" * 9000]))
    assert all(len(contents) == 1 for contents in seen)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def test_who_cannot_have_a_file_is_told_in_one_line(tmp_path):
    with (
        Lock(tmp_path / ".01.png.lock", "it"),
        pytest.raises(InUseError, match=re.escape(f"{tmp_path / '01.png'} is in use by process")),
        hold(tmp_path / "01.png", seconds=0.1),
    ):
        pass


def test_a_file_that_cannot_be_finished_leaves_the_earlier_one(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    with pytest.raises(RuntimeError, match="half-way"):
        write_half(path)
    assert path.read_bytes() == b"earlier"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_reader_never_meets_half_of_a_file(tmp_path):
    path, contents = tmp_path / "file", [b"0" * 2_000_000, b"1" * 3_000_000]
    write_whole(path, contents[0])

    def write_often():
        for number in range(50):
            write_whole(path, contents[number % 2])

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_often)
        while not writing.done():
            # Not by ==, whose message would be as long as the file.
            assert path.read_bytes() in contents, "half of a file"
        writing.result()


def write_half(path):
    with open_whole(path) as file:
        file.write(b"new")
        raise RuntimeError("half-way")
