"""The environment that make sets up: whole, of this folder and lock; with a stand-in for pip."""

import os
import shutil
import subprocess
from importlib.metadata import distributions

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from fprin_utils.files import ROOT

TEMPLATE = ("binder/voila/conf.json", "binder/voila/index.html.j2")
FILES = ("Makefile", "requirements.lock", "pyproject.toml", "voila.json", *TEMPLATE)
OLDEST, TRIED = "3.11.0", ("3.11.0", "3.11.2", "3.12.1", "3.13.0")
# Notes what it is asked for, and stops in the middle of what FAIL_AT names.
PYTHON = """#!/bin/bash
echo "$(basename "$0") $*" >> "$MAKE_LOG"
if [ "$1" = -c ]; then exit ${SUITS:-0}; fi
if [ "$1 $2 $3" = "-m venv --clear" ]; then
  rm -rf "$4"; mkdir -p "$4/bin"; cp "$0" "$4/bin/python"
fi
case "$*" in
  *"${FAIL_AT:-nothing}"*) kill -9 $PPID;;
esac
touch "$(dirname "$0")/../installed" 2> /dev/null
exit 0
"""
CLEARED, LOCKED, READY = "-m venv --clear", "--requirement", "--editable"


def copy_files(folder):
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = tmp_path / "checkout"
    folder.mkdir()
    copy_files(folder)
    put_python(tmp_path / "bin" / "python3.11")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("MAKE_LOG", str(tmp_path / "log"))
    for name in ("MAKEFLAGS", "MAKELEVEL", "PYTHON"):
        monkeypatch.delenv(name, raising=False)
    return folder


def put_python(path, text=PYTHON):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def make(folder, *arguments, **environment):
    """Run make; return its exit status, what it printed, and the installing that was done."""
    log = folder.parent / "log"
    log.write_text("")
    ended = subprocess.run(
        ["make", ".venv/.ready", *arguments],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    steps = [
        step
        for line in log.read_text().splitlines()
        for step in (CLEARED, LOCKED, READY)
        if step in line
    ]
    return ended.returncode, ended.stdout + ended.stderr, steps


def test_an_environment_is_made_once(checkout):
    assert make(checkout)[::2] == (0, [CLEARED, LOCKED, READY])
    assert make(checkout)[::2] == (0, [])
    for path in FILES:
        (checkout / path).touch()
    assert make(checkout)[::2] == (0, []), "it is what the files hold that counts"
    assert (checkout / ".venv/etc/jupyter/voila.json").is_file()
    assert (checkout / ".venv/share/jupyter/voila/templates/fprin/index.html.j2").is_file()


@pytest.mark.parametrize(
    ("stopped_at", "then"),
    [
        (CLEARED, [CLEARED, LOCKED, READY]),
        (LOCKED, [CLEARED, LOCKED, READY]),
        (READY, [READY]),
    ],
)
@pytest.mark.parametrize("had_been_made", [False, True])
def test_what_was_stopped_is_made_whole(checkout, stopped_at, then, had_been_made):
    if had_been_made:
        make(checkout)
        for name in ("requirements.lock", "pyproject.toml"):
            (checkout / name).write_text((checkout / name).read_text() + "\n# changed\n")
    status, _, steps = make(checkout, FAIL_AT=stopped_at)
    assert status != 0
    assert steps[-1] == stopped_at
    assert make(checkout)[::2] == (0, then)
    assert make(checkout)[::2] == (0, [])
    assert "--force-reinstall" in (checkout / "Makefile").read_text(), "of what pip takes for there"


def test_another_lock_is_another_environment(checkout):
    make(checkout)
    lock = checkout / "requirements.lock"
    lock.write_text(lock.read_text().replace("toml==", "tomli=="))
    assert make(checkout)[::2] == (0, [CLEARED, LOCKED, READY]), "what was dropped goes"
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text() + "\n")
    assert make(checkout)[::2] == (0, [READY])


def test_a_copy_of_the_folder_does_not_run_the_code_of_the_first(checkout):
    make(checkout)
    copy = shutil.copytree(checkout, checkout.with_name("copy"), symlinks=True)
    status, said, steps = make(copy)
    assert (status, steps) == (0, [CLEARED, LOCKED, READY])
    assert f".venv was made in another folder: {checkout}" in said
    assert make(checkout)[::2] == (0, [])


def test_a_link_to_the_environment_of_another_folder_is_left_alone(checkout):
    make(checkout)
    other = checkout.with_name("other")
    other.mkdir()
    copy_files(other)
    (other / ".venv").symlink_to(checkout / ".venv")
    status, said, steps = make(other)
    assert (status, steps) == (2, [])
    assert ".venv is a link to an environment of another folder" in said
    assert make(checkout)[::2] == (0, [])


@pytest.mark.parametrize("name", ["python3.11", "python3.12", "python3.13", "python3"])
def test_any_python_that_suits_is_found(checkout, name):
    programs = checkout.parent / "bin"
    for other in ("python3.11", "python3.12", "python3.13", "python3"):
        # As pyenv's, which is there and says that it is not.
        put_python(programs / other, "#!/bin/bash\nexit 127\n")
    status, said, steps = make(checkout)
    assert (status, steps) == (2, [])
    assert "No Python 3.11, 3.12 or 3.13 with venv was found" in said
    put_python(programs / name)
    assert make(checkout)[::2] == (0, [CLEARED, LOCKED, READY])
    assert f"{name} -m venv --clear" in (checkout.parent / "log").read_text()


def test_a_python_can_be_named(checkout):
    put_python(checkout.parent / "bin" / "mine")
    assert make(checkout, f"PYTHON={checkout.parent / 'bin' / 'mine'}")[0] == 0
    assert "mine -m venv --clear" in (checkout.parent / "log").read_text()


def test_only_a_python_that_the_lock_takes_suits():
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith("SUITS := "))
    condition = line.partition("sys.exit(not ")[2].rstrip("')")
    for version, suits in (((3, 10), 0), ((3, 11), 1), ((3, 12), 1), ((3, 13), 1), ((3, 14), 0)):
        expression = condition.replace("sys.version_info[:2]", repr(version))
        assert eval(expression + ")" * (expression.count("(") - expression.count(")"))) == suits


def test_the_lock_takes_every_python_that_is_promised():
    locked = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        requirement = Requirement(line)
        locked[requirement.name.lower().replace("_", "-")] = requirement
    refused, known = [], set()
    for installed in distributions():
        name = installed.metadata["Name"].lower().replace("_", "-")
        wanted = installed.metadata.get("Requires-Python")
        if name not in locked or not locked[name].specifier.contains(installed.version):
            continue
        known.add(name)
        refused += [
            f"{name} {installed.version} wants {wanted}"
            for version in TRIED
            if wanted and not SpecifierSet(wanted).contains(version)
        ]
    assert refused == []
    assert len(known) >= len(locked) - 1, set(locked) - known
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'requires-python = ">={OLDEST.rpartition(".")[0]}"' in project
