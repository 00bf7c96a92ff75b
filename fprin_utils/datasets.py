"""Data sets: digits and faces that come with installed packages, and files of MNIST and CIFAR-10.

Nothing is downloaded, and nothing is unpickled.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import skimage

from fprin_utils.checks import (
    MOST_VALUES,
    as_array,
    check_choice,
    check_flag,
    check_kind,
    check_seed,
    check_whole,
    tell,
)

INCLUDED = ("digits", "faces")
PARTS = ("train", "test")
# The first bytes of an idx file: unsigned bytes (8) along so many axes.
IDX_MAGIC = {"images": b"\x00\x00\x08\x03", "labels": b"\x00\x00\x08\x01"}
CIFAR_SHAPE = (32, 32, 3)
CIFAR_BYTES = 1 + math.prod(CIFAR_SHAPE)
CIFAR_FILES = {"train": [f"data_batch_{n}.bin" for n in range(1, 6)], "test": ["test_batch.bin"]}
NUM_DIGITS = 10


@dataclass(frozen=True)
class Dataset:
    """Images and what they show.

    Attributes:
        name: What the data set is called.
        inputs: Grey or colour values from 0 to 1, shape (N, D): an image a row, pixel by pixel.
        labels: Class of each image, from 0 on, shape (N,).
        image_shape: Height and width, and 3 where there are colours; their product is D.
        num_classes: Number of classes, whether or not each of them occurs.
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    image_shape: tuple[int, ...]
    num_classes: int


def load_dataset(
    source: str | Path = "digits", *, part: str = "train", num_samples: int | None = None
) -> Dataset:
    """Load images with their labels.

    Args:
        source: "digits", 1,797 handwritten digits of 8 x 8 pixels from scikit-learn; "faces", 100
            faces and 100 pictures of something else, 25 x 25 pixels, from scikit-image; or a folder
            of your own with the files of MNIST (or of a set in its format), as they are or with
            .gz, or those of the binary version of CIFAR-10.
        part: "train" or "test", of the files in a folder.
        num_samples: How many images to take, from the first on; all if left out.

    Returns:
        The data set.

    Raises:
        ValueError: If there are no such files, one of them is damaged or of another kind, or there
            are fewer images than asked for.
    """
    check_kind("source", source, (str, Path), "a name or a folder")
    check_choice("part", part, PARTS)
    if num_samples is not None:
        num_samples = check_whole("num_samples", num_samples, least=1)
    if source in INCLUDED:
        name, (images, labels) = str(source), _load_included(str(source))
    elif Path(source).is_dir():
        name, (images, labels) = Path(source).name, _read_folder(Path(source), part)
    else:
        raise ValueError(
            f"source {tell(str(source))} is neither a folder nor one of {', '.join(INCLUDED)}"
        )
    number = len(labels) if num_samples is None else num_samples
    if number > len(labels):
        raise ValueError(f"num_samples is {number}, but {name} has {len(labels)} images")
    inputs = images[:number].reshape(number, -1)
    inputs = inputs / 255 if inputs.dtype == np.uint8 else inputs
    num_classes = 2 if source == "faces" else NUM_DIGITS
    return Dataset(name, inputs, labels[:number].astype(int), images.shape[1:], num_classes)


def encode_labels(labels: Sequence[int], num_classes: int, *, centred: bool = False) -> np.ndarray:
    """Return labels as targets of a network: a column for each class, 1 in that of the label.

    Args:
        labels: Classes from 0 on, shape (N,).
        num_classes: Number of classes O.
        centred: Whether to subtract the mean of each column. A filter or a transform of targets
            that are not centred finds the mean in their lowest frequencies, where a network that
            starts near a constant has it without learning anything.

    Returns:
        Targets, shape (N, O).

    Raises:
        ValueError: If a label is no whole number from 0 to `num_classes` - 1.
    """
    num_classes = check_whole("num_classes", num_classes, least=1, most=MOST_VALUES)
    labels = as_array("labels", labels, "(N,)")
    if (labels != np.floor(labels)).any() or labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels is {tell(labels)}; they must be whole numbers from 0 to {num_classes - 1}"
        )
    check_whole("labels times num_classes", len(labels) * num_classes, most=MOST_VALUES)
    targets = np.zeros((len(labels), num_classes))
    targets[np.arange(len(labels)), labels.astype(int)] = 1
    return targets - targets.mean(axis=0) if check_flag("centred", centred) else targets


def draw_subset(
    dataset: Dataset,
    num_samples: int,
    *,
    seed: int | Sequence[int],
    shuffle_labels: bool = False,
) -> Dataset:
    """Return some images of a data set, drawn without replacement.

    Args:
        dataset: The data set, from `load_dataset`.
        num_samples: How many images to draw.
        seed: Seed of the generator, one whole number or several.
        shuffle_labels: Whether the labels of these images are then shuffled among them; the images
            are the same.

    Returns:
        The data set of these images, in random order.

    Raises:
        ValueError: If there are fewer images, or an argument is outside what is listed above.
    """
    check_kind("dataset", dataset, Dataset, "what load_dataset returns")
    num_samples = check_whole("num_samples", num_samples, least=1, most=len(dataset.labels))
    generator = np.random.default_rng(check_seed("seed", seed))
    chosen = generator.permutation(len(dataset.labels))[:num_samples]
    labels = dataset.labels[chosen]
    if check_flag("shuffle_labels", shuffle_labels):
        labels = generator.permutation(labels)
    return replace(dataset, inputs=dataset.inputs[chosen], labels=labels)


def arrange_images(dataset: Dataset, num_rows: int, num_columns: int) -> np.ndarray:
    """Return the first images of a data set side by side, as one picture.

    Args:
        dataset: The data set, from `load_dataset` or `draw_subset`.
        num_rows: Images below each other.
        num_columns: Images beside each other.

    Returns:
        Grey values from 0 to 1, colours averaged, with a grey line between images, shape
        (num_rows * (H + 1) - 1, num_columns * (W + 1) - 1).

    Raises:
        ValueError: If the data set has fewer images.
    """
    check_kind("dataset", dataset, Dataset, "what load_dataset returns")
    most, (height, width) = len(dataset.labels), dataset.image_shape[:2]
    num_rows = check_whole("num_rows", num_rows, least=1, most=most)
    num_columns = check_whole("num_columns", num_columns, least=1, most=most // num_rows)
    shown = dataset.inputs[: num_rows * num_columns]
    shown = shown.reshape(num_rows, num_columns, height, width, -1).mean(axis=-1)
    lined = np.pad(shown, ((0, 0), (0, 0), (0, 1), (0, 1)), constant_values=0.5)
    picture = lined.swapaxes(1, 2).reshape(num_rows * (height + 1), num_columns * (width + 1))
    return picture[:-1, :-1]


def _load_included(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of a data set that an installed package holds."""
    if name == "faces":
        return skimage.data.lfw_subset(), np.repeat([1, 0], 100)
    # Late, as it takes a second.
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images / 16, digits.target


def _read_folder(folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of the files of MNIST or of CIFAR-10 in a folder."""
    prefix = {"train": "train", "test": "t10k"}[part]
    found = {kind: _find_idx(folder, f"{prefix}-{kind}", kind) for kind in IDX_MAGIC}
    if any(found.values()):
        for kind, path in found.items():
            if path is None:
                wanted = f"{prefix}-{kind}-idx{IDX_MAGIC[kind][3]}-ubyte"
                raise ValueError(f"{folder} lacks {wanted}, or the same with .gz")
        images, labels = (_read_idx(path, kind) for kind, path in found.items())
        if len(images) != len(labels):
            raise ValueError(
                f"{found['images']} holds {len(images)} images but {found['labels']} holds "
                f"{len(labels)} labels; there must be as many"
            )
        _check_labels(found["labels"], labels)
        return images, labels
    paths = [folder / name for name in CIFAR_FILES[part]]
    if not any(path.is_file() for path in paths):
        hint = " (those here are pickled)" if paths[0].with_suffix("").is_file() else ""
        raise ValueError(
            f"source {folder} has neither MNIST's {prefix}-images-idx3-ubyte, or the same with "
            f".gz, nor {paths[0].name} of the binary version of CIFAR-10{hint}"
        )
    for path in paths:
        if not path.is_file():
            raise ValueError(f"{folder} lacks {path.name}; it must hold all of {part}")
    images, labels = zip(*map(_read_cifar, paths), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _find_idx(folder: Path, stem: str, kind: str) -> Path | None:
    """Return the idx file in a folder, by any of the names under which it is passed on."""
    axes = IDX_MAGIC[kind][3]
    names = [f"{stem}{mark}idx{axes}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _read_idx(path: Path, kind: str) -> np.ndarray:
    """Return what an idx file of unsigned bytes holds, in the shape that its head says.

    The head: two zeros, the type, the number of axes, and the length of each axis as four bytes,
    the highest first (http://yann.lecun.com/exdb/mnist).
    """
    magic = IDX_MAGIC[kind]
    size = 4 + 4 * magic[3]
    head = _read_bytes(path, size)
    if head[:4] != magic[: len(head)]:
        raise ValueError(
            f"{path} begins with the bytes {head[:4].hex(' ')}; an idx file of {kind} begins with "
            f"{magic.hex(' ')}"
        )
    if len(head) < size:
        raise ValueError(f"{path} ends within its head of {size} bytes: it is truncated")
    shape = tuple(int(length) for length in np.frombuffer(head[4:], ">u4"))
    number = math.prod(shape)
    if not 1 <= number <= MOST_VALUES:
        raise ValueError(
            f"{path} says that it holds {' x '.join(map(str, shape))} bytes; their number must be "
            f"from 1 to {MOST_VALUES}"
        )
    content = _read_bytes(path, size + number + 1)[size:]
    if len(content) != number:
        told = "more" if len(content) > number else f"{len(content)}, it is truncated"
        raise ValueError(
            f"{path} must hold {' x '.join(map(str, shape))} bytes after its head; it has {told}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _read_cifar(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of a file of CIFAR-10's binary version.

    An image is a byte for its class, then its red, green and blue pixels, row by row, as in
    https://www.cs.toronto.edu/~kriz/cifar.html.
    """
    content = _read_bytes(path, MOST_VALUES + 1)
    if not content or len(content) % CIFAR_BYTES or len(content) > MOST_VALUES:
        raise ValueError(
            f"{path} has {len(content)} bytes; it must hold images of {CIFAR_BYTES} bytes each, at "
            f"least one and {MOST_VALUES // CIFAR_BYTES} at most, and none of them truncated"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_BYTES)
    _check_labels(path, records[:, 0])
    planes = records[:, 1:].reshape(-1, CIFAR_SHAPE[2], *CIFAR_SHAPE[:2])
    return planes.transpose(0, 2, 3, 1), records[:, 0]


def _check_labels(path: Path, labels: np.ndarray) -> None:
    if labels.max() >= NUM_DIGITS:
        place = int(np.argmax(labels >= NUM_DIGITS))
        raise ValueError(
            f"{path} has the label {labels[place]} at image {place}; labels must be from 0 to "
            f"{NUM_DIGITS - 1}"
        )


def _read_bytes(path: Path, most: int) -> bytes:
    """Return the first bytes of a file, unpacked if its name ends in .gz."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            return file.read(most)
    except (OSError, EOFError, zlib.error) as error:
        told = " ".join(str(error).split())
        raise ValueError(f"{path} cannot be read, or is truncated: {told}") from error
