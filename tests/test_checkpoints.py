import contextlib
import gc
import json
import multiprocessing
import signal
import threading
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import fprin_utils as fp
from fprin_utils.engine.checkpoints import Checkpoint
from fprin_utils.engine.groups import Group
from fprin_utils.files import Lock

GRID = fp.make_grid(24)
TARGET = fp.make_sinusoids(GRID, [1, 3])
# Imports PyTorch once, and starts each training as a fork of itself.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["fprin_utils.training"])


def train_for_seconds(path, batch_size, seconds, slow):
    """Train for some seconds: one network stops early, spectral norms are recorded."""
    torch.set_num_threads(2)
    if slow:
        # Every write into the archive takes its time, so that a kill is likely to hit a save.
        write = zipfile.ZipFile.open
        zipfile.ZipFile.open = lambda *a, **k: (time.sleep(0.02), write(*a, **k))[1]
    networks = fp.Ensemble([30, 30], seeds=[0, 1, 2, 3, 4], init_std=0.5)
    run = fp.train(
        networks,
        GRID,
        TARGET,
        num_steps=6000,
        learning_rate=2e-3,
        batch_size=batch_size,
        record_at=fp.make_steps(6000, 60),
        spectral_norms_at=[0, 6000],
        further_inputs={"fine": fp.make_grid(50)},
        loss_tolerance=1e-4 if batch_size is None else None,
        checkpoint=path,
        checkpoint_seconds=seconds,
        progress=False,
    )
    weights = {f"w{i}": p.detach().numpy() for i, p in enumerate(networks.parameters())}
    np.savez(
        f"{path}.result.npz",
        losses=run.losses,
        outputs=run.outputs,
        steps=run.steps,
        fine=run.further_outputs["fine"],
        norms=run.spectral_norms,
        **weights,
    )


def run_apart(path, *, batch_size=None, seconds=0.0, kill_after=None, slow=False):
    process = FORKS.Process(target=train_for_seconds, args=(path, batch_size, seconds, slow))
    process.start()
    if kill_after is not None:
        # A busy machine takes its time to come to the first save.
        while process.is_alive() and not path.exists():
            time.sleep(0.01)
        time.sleep(kill_after)
        process.kill()
    process.join()
    if kill_after is not None:
        assert process.exitcode in (0, -signal.SIGKILL)
        return process.exitcode
    assert process.exitcode == 0
    with np.load(f"{path}.result.npz") as result:
        return dict(result)


@pytest.mark.parametrize("batch_size", [None, 7])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, batch_size):
    never_stopped = run_apart(tmp_path / "whole.npz", batch_size=batch_size, seconds=1e9)
    path, generator = tmp_path / "killed.npz", np.random.default_rng(batch_size or 0)
    progress, kills = [], 0
    for attempt in range(6):
        code = run_apart(
            path,
            batch_size=batch_size,
            kill_after=generator.uniform(0.0, 0.4),
            slow=attempt % 2 == 1,
        )
        with np.load(path) as archive:
            progress.append(archive["step"].item())
        kills += code == -signal.SIGKILL
    assert progress == sorted(progress)
    assert progress[-1] > 0
    assert kills >= 3
    resumed = run_apart(path, batch_size=batch_size)
    assert resumed.keys() == never_stopped.keys()
    for name, values in never_stopped.items():
        assert np.array_equal(resumed[name], values), name
    assert [entry.name for entry in tmp_path.iterdir() if "aside" in entry.name] == []


def train(path, *, seeds=(0, 1, 2), init_std=0.5, widths=(9, 7), **settings):
    networks = fp.Ensemble(list(widths), seeds=list(seeds), init_std=init_std)
    settings = {
        "inputs": GRID,
        "targets": TARGET,
        "num_steps": 30,
        "learning_rate": 1e-2,
        "progress": False,
    } | settings
    return networks, fp.train(networks, checkpoint=path, **settings)


def test_a_finished_training_is_read_instead_of_repeated(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "run.npz"
    networks, run = train(path, loss_tolerance=1e-9, further_inputs={"fine": GRID / 2})
    monkeypatch.setattr("fprin_utils.engine.groups.Group.advance", None)
    again_networks, again = train(path, loss_tolerance=1e-9, further_inputs={"fine": GRID / 2})
    for one, other in zip(networks.parameters(), again_networks.parameters(), strict=True):
        assert torch.equal(one, other)
    np.testing.assert_array_equal(run.losses, again.losses)
    np.testing.assert_array_equal(run.further_outputs["fine"], again.further_outputs["fine"])
    assert again.seconds == pytest.approx(run.seconds, abs=0.5)


def test_a_module_of_ones_own_has_checkpoints_too(tmp_path):
    def make_module():
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.GELU(), torch.nn.Linear(8, 1))

    settings = {"num_steps": 40, "learning_rate": 1e-2, "progress": False}
    whole = fp.train(make_module(), GRID, TARGET, **settings)
    path = tmp_path / "module.npz"
    stop_at_record(path, 20, lambda: fp.train(make_module(), GRID, TARGET, checkpoint=path,
                                              checkpoint_seconds=0, **settings))  # fmt: skip
    resumed = fp.train(make_module(), GRID, TARGET, checkpoint=path, **settings)
    np.testing.assert_array_equal(whole.losses, resumed.losses)


@pytest.mark.parametrize(
    "optimizer",
    [
        *(torch.optim.SGD, torch.optim.RMSprop, torch.optim.Adagrad, torch.optim.NAdam),
        partial(torch.optim.SGD, momentum=0.9, nesterov=True),
    ],
    ids=lambda optimizer: getattr(optimizer, "__name__", "Nesterov"),
)
def test_an_optimizer_of_torch_goes_on_to_the_same_bits(tmp_path, optimizer):
    settings = {"num_steps": 80, "record_at": range(81), "optimizer": optimizer}
    _, free = train(None, **settings)
    settings["loss_tolerance"] = float(free.losses[60].max())
    networks, whole = train(None, **settings)
    arrived = np.sort((free.losses <= settings["loss_tolerance"]).argmax(axis=0))
    assert 0 < arrived[0] < arrived[1] < arrived[2] == 60
    for number in (arrived[0] // 2 + 1, int(arrived[:2].mean()) + 2):
        path = tmp_path / f"{number}.npz"
        stop_at_record(path, number, lambda: train(path, checkpoint_seconds=0, **settings))  # noqa: B023
        resumed_networks, resumed = train(path, **settings)
        np.testing.assert_array_equal(whole.outputs, resumed.outputs)
        for one, other in zip(networks.parameters(), resumed_networks.parameters(), strict=True):
            assert torch.equal(one, other)


def test_a_checkpoint_of_another_optimizer_of_torch_is_refused(tmp_path):
    train(tmp_path / "run.npz", optimizer=partial(torch.optim.SGD, momentum=0.9))
    with pytest.raises(ValueError, match=r"\(optimizer: \"SGD .*'momentum': 0\.9.*0\.8"):
        train(tmp_path / "run.npz", optimizer=partial(torch.optim.SGD, momentum=0.8))
    with pytest.raises(ValueError, match=r"\(optimizer: "):
        train(tmp_path / "run.npz")


@pytest.mark.parametrize("number", [20, 41])
def test_sums_over_few_points_go_on_to_the_same_bits(tmp_path, number):
    # The last batch has one point; its sums depend on how the weights lie in memory.
    grid = fp.make_grid(61)
    settings = {
        "inputs": grid,
        "targets": fp.make_sinusoids(grid, [1, 3]),
        "num_steps": 200,
        "learning_rate": 1e-3,
        "batch_size": 20,
        "widths": (41, 21),
        "seeds": range(5),
    }
    networks, whole = train(tmp_path / "whole.npz", **settings)
    path = tmp_path / "run.npz"
    stop_at_record(path, number, lambda: train(path, checkpoint_seconds=0, **settings))
    resumed_networks, resumed = train(path, **settings)
    np.testing.assert_array_equal(whole.outputs, resumed.outputs)
    for one, other in zip(networks.parameters(), resumed_networks.parameters(), strict=True):
        assert torch.equal(one, other)


def test_an_interrupted_training_leaves_its_weights_in_the_ensemble(tmp_path, monkeypatch):
    # One network stops early, so that the others go on as copies.
    settings = {"num_steps": 400, "record_at": range(401), "loss_tolerance": 0.2}
    _, whole = train(tmp_path / "whole.npz", **settings)
    arrived = np.sort((whole.losses <= 0.2).argmax(axis=0))
    stop_at = int(arrived[:2].mean())
    advance = Group.advance

    def advance_or_stop(self, num_steps):
        if self.optimizer.num_updates == stop_at:
            raise KeyboardInterrupt
        return advance(self, num_steps)

    monkeypatch.setattr(Group, "advance", advance_or_stop)
    networks = fp.Ensemble([9, 7], seeds=[0, 1, 2], init_std=0.5)
    with pytest.raises(KeyboardInterrupt):
        fp.train(networks, GRID, TARGET, learning_rate=1e-2, progress=False, **settings)
    with torch.no_grad():
        outputs = networks(torch.tensor(GRID, dtype=torch.float32)[:, None])[..., 0]
    np.testing.assert_allclose(outputs.numpy(), whole.outputs[stop_at], rtol=1e-5, atol=1e-6)


class Sine(torch.nn.Module):
    def __init__(self, frequency=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.frequency = frequency
        self.first, self.last = torch.nn.Linear(1, 8), torch.nn.Linear(8, 1)

    def forward(self, inputs):
        return self.last(torch.sin(self.frequency * self.first(inputs)))


def test_a_checkpoint_of_another_module_is_refused(tmp_path):
    def train_module(module):
        path, settings = tmp_path / "run.npz", {"num_steps": 9, "learning_rate": 1e-2}
        return fp.train(module, GRID, TARGET, checkpoint=path, progress=False, **settings)

    train_module(Sine())
    with pytest.raises(ValueError, match=r"\(attributes: others\)"):
        train_module(Sine(2.0))
    frozen = Sine()
    frozen.last.bias.requires_grad_(False)
    with pytest.raises(ValueError, match="parameters to train: "):
        train_module(frozen)
    with pytest.raises(ValueError, match="buffers"):
        train_module(torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1)))
    with pytest.raises(ValueError, match="draws random numbers"):
        train_module(torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.Dropout(0.5)))


def test_networks_that_had_stopped_stay_as_they_were(tmp_path):
    settings = {
        "num_steps": 400,
        "record_at": range(401),
        "spectral_norms_at": range(0, 401, 40),
        "loss_tolerance": 0.2,
    }
    networks, whole = train(tmp_path / "whole.npz", **settings)
    arrived = np.sort((whole.losses <= 0.2).argmax(axis=0))
    assert 0 < arrived[0] < arrived[1] < arrived[2]
    path = tmp_path / "run.npz"
    number = int(arrived[:2].mean()) + 2  # the first has stopped, the others have not
    stop_at_record(path, number, lambda: train(path, checkpoint_seconds=0, **settings))
    resumed_networks, resumed = train(path, **settings)
    for name in ("steps", "losses", "outputs", "spectral_norms"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(resumed, name))
    for one, other in zip(networks.parameters(), resumed_networks.parameters(), strict=True):
        assert torch.equal(one, other)


def stop_at_record(path, number, call):
    """Interrupt a training as Ctrl-C does, at its save of a number."""
    saves = []
    with pytest.MonkeyPatch.context() as patch:
        save = Checkpoint.save

        def save_and_stop(self, arrays):
            save(self, arrays)
            saves.append(1)
            if len(saves) == number:
                raise KeyboardInterrupt

        patch.setattr(Checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            call()
    assert path.exists()


def test_saves_keep_their_distance(tmp_path, monkeypatch):
    saves = []
    monkeypatch.setattr(Checkpoint, "save", lambda *_: saves.append(1))
    train(tmp_path / "run.npz", checkpoint_seconds=1e9)
    assert len(saves) == 1  # the one at the end
    train(tmp_path / "run.npz", checkpoint_seconds=0)
    assert len(saves) > 10


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 2e-2}, "learning_rate: 0.01 there, 0.02 here"),
        ({"optimizer": "momentum"}, "optimizer: 'adam' there, 'momentum' here"),
        ({"batch_size": 5}, "batch_size: None there, 5 here"),
        ({"loss_tolerance": 0.1}, "loss_tolerance: None there, 0.1 here"),
        ({"seeds": (0, 1, 3)}, r"seeds: \[0, 1, 2\] there, \[0, 1, 3\] here; initial weights"),
        ({"init_std": 0.4}, r"\(initialization: .*; initial weights: others\)"),
        ({"widths": (9, 8)}, "network: 'tanh 1-9-7-1 torch.float32' there, 'tanh 1-9-8-1"),
        ({"targets": -TARGET}, r"\(targets: others\)"),
        ({"inputs": GRID + 1}, r"\(inputs: others\)"),
        ({"further_inputs": {"fine": GRID}}, r"\(further_inputs: others\)"),
        ({"record_at": [0, 30]}, r"\(record_at: others\)"),
        ({"num_steps": 29}, "num_steps: 30 there, 29 here; record_at"),
    ],
)
def test_a_checkpoint_of_other_settings_is_refused_and_kept(tmp_path, settings, message):
    path = tmp_path / "run.npz"
    train(path)
    stored = path.read_bytes()
    with pytest.raises(ValueError, match=f"run.npz is a checkpoint of another training.*{message}"):
        train(path, **settings)
    assert path.read_bytes() == stored


def test_an_axis_of_one_output_makes_no_other_training(tmp_path, monkeypatch):
    _, run = train(tmp_path / "run.npz")
    monkeypatch.setattr("fprin_utils.engine.groups.Group.advance", None)
    _, again = train(tmp_path / "run.npz", targets=TARGET[:, None])
    assert again.outputs.shape == (len(run.steps), 3, 24)
    np.testing.assert_array_equal(again.outputs, run.outputs)


def cut_short(path):
    path.write_bytes(path.read_bytes()[:-200])


def flip_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(bytes(content))


def save_one_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def leave_out_an_array(path):
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "group/0/moment/1/mean"}
    np.savez(path, **arrays)


@pytest.mark.parametrize(
    "spoil",
    [
        cut_short,
        flip_a_byte,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an archive"),
        lambda path: path.write_text(json.dumps({"kind": "something else"})),
        lambda path: np.savez(path, x=np.arange(3)),
        lambda path: np.savez(path, kind="another", settings="{}"),
        lambda path: np.savez(path, kind=np.array([{}], dtype=object), settings="{}"),
        save_one_array,
        leave_out_an_array,
    ],
)
def test_a_damaged_or_foreign_file_is_named_and_kept(tmp_path, spoil):
    path = tmp_path / "run.npz"
    train(path)
    spoil(path)
    stored = path.read_bytes()
    with pytest.raises(ValueError, match=r"run\.npz is damaged, or no checkpoint of a training"):
        train(path)
    assert path.read_bytes() == stored


def test_any_flipped_byte_is_named_or_harmless(tmp_path):
    path = tmp_path / "run.npz"
    _, whole = train(path, num_steps=2, widths=(2,), seeds=(0,))
    content = path.read_bytes()
    for place in range(0, len(content), 17):
        spoilt = bytearray(content)
        spoilt[place] ^= 255
        path.write_bytes(bytes(spoilt))
        again = whole
        with contextlib.suppress(ValueError):
            _, again = train(path, num_steps=2, widths=(2,), seeds=(0,))
        np.testing.assert_array_equal(whole.losses, again.losses)


def test_a_checkpoint_needs_a_sensible_time(tmp_path):
    for seconds in (-1, "60", np.nan):
        with pytest.raises(ValueError, match="checkpoint_seconds is"):
            train(tmp_path / "run.npz", checkpoint_seconds=seconds)


def test_a_path_that_cannot_be_written_is_named_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr("fprin_utils.engine.groups.Group.advance", None)
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "run.npz", tmp_path / f"{'n' * 250}.npz", 3):
        with pytest.raises(ValueError, match="no file can be written there"):
            train(path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_a_link_goes_on_to_lead_to_its_file(tmp_path):
    (tmp_path / "link.npz").symlink_to(tmp_path / "run.npz")
    train(tmp_path / "link.npz")
    assert (tmp_path / "link.npz").is_symlink()
    assert (tmp_path / "run.npz").exists()


def test_a_training_clears_what_the_killed_left_of_its_checkpoint_alone(tmp_path):
    kept = [".run.npz.2.77.aside", ".run.npz.x.aside", ".other.npz.77.aside"]
    for name in (*kept, ".run.npz.77.aside", ".run.npz.lock"):
        (tmp_path / name).touch()
    train(tmp_path / "run.npz")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*kept, "run.npz"])


def test_a_kill_while_the_place_is_tried_leaves_nothing_for_long(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def be_killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        # Between making a file and removing it.
        patch.setattr(Path, "unlink", be_killed)
        with pytest.raises(Killed):
            train(tmp_path / "run.npz")
    assert len(list(tmp_path.iterdir())) == 2, "what is tried, and the lock"
    gc.collect()  # The lock goes with its process; here, with the object.
    train(tmp_path / "run.npz")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


@pytest.mark.parametrize("record_at", [[30, 400], [400]])
def test_a_training_goes_on_that_was_saved_before_its_first_record(tmp_path, record_at):
    settings = {"num_steps": 400, "record_at": record_at, "spectral_norms_at": [400]}
    _, whole = train(None, **settings)
    path = tmp_path / "run.npz"
    stop_at_record(path, 1, lambda: train(path, checkpoint_seconds=0, **settings))
    with np.load(path) as archive:
        assert len(archive["run/losses"]) == 0
    _, resumed = train(path, **settings)
    for name in ("steps", "losses", "outputs", "spectral_norms"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(resumed, name))


def test_two_trainings_do_not_share_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("fprin_utils.engine.checkpoints.SECONDS_TO_WAIT", 0.2)
    path, waiting = tmp_path / "run.npz", threading.Event()
    started = threading.Event()

    def wait(*_):
        started.set()
        waiting.wait(60)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(train, path, on_progress=wait)
        assert started.wait(60)
        with pytest.raises(ValueError, match=r"another training goes on there: .*is in use"):
            train(path)
        waiting.set()
        _, run = first.result()
    _, again = train(path)
    np.testing.assert_array_equal(run.losses, again.losses)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.npz"]


def test_a_second_training_waits_for_one_that_is_ending(tmp_path):
    path = tmp_path / "run.npz"
    lock = Lock(path.with_name(".run.npz.lock"), "it")
    lock.take()
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(train, path)
        time.sleep(0.3)
        assert not training.done()
        lock.free()
        training.result(timeout=60)


def test_a_training_that_was_interrupted_goes_on_in_the_same_process(tmp_path):
    path, errors = tmp_path / "run.npz", []

    try:
        train(path, checkpoint_seconds=0, on_progress=lambda step, _: step and 1 / 0)
    except ZeroDivisionError as error:
        errors.append(error)  # As a notebook keeps it, with all that it refers to.
    assert errors
    train(path)
