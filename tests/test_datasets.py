import gzip
import struct
import warnings

import numpy as np
import pytest

from fprin_utils import datasets

TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def write_idx(path, array):
    head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = head + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 3, 2))


@pytest.fixture
def mnist(tmp_path, images):
    """Return a folder with five images of 3 x 2 pixels, in the format of MNIST."""
    write_idx(tmp_path / TRAIN_IMAGES, images)
    write_idx(tmp_path / TRAIN_LABELS, np.array([3, 0, 9, 1, 1]))
    return tmp_path


@pytest.fixture
def cifar(tmp_path):
    """Return a folder with two images in each file, in the format of CIFAR-10's binary version."""
    records = np.random.default_rng(1).integers(0, 256, (6, 2, 3073)).astype(np.uint8)
    records[:, :, 0] %= 10
    names = [*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]
    for name, each in zip(names, records, strict=True):
        (tmp_path / name).write_bytes(each.tobytes())
    return tmp_path, records


def test_the_digits_are_those_of_scikit_learn():
    digits = datasets.load_dataset("digits")
    assert (digits.inputs.shape, digits.image_shape, digits.num_classes) == ((1797, 64), (8, 8), 10)
    assert (digits.inputs.min(), digits.inputs.max()) == (0, 1)
    np.testing.assert_array_equal(np.bincount(digits.labels)[:3], [178, 182, 177])
    # The first is a nought: dark in the middle, bright around.
    first = digits.inputs[0].reshape(8, 8)
    assert digits.labels[0] == 0
    assert first[3:5, 3:5].mean() < 0.1 < 0.5 < first[1:7, 2].mean()


def test_the_faces_are_those_of_scikit_image():
    faces = datasets.load_dataset("faces")
    assert (faces.inputs.shape, faces.image_shape, faces.num_classes) == ((200, 625), (25, 25), 2)
    np.testing.assert_array_equal(faces.labels, [1] * 100 + [0] * 100)
    # Faces resemble their mean more than other pictures do theirs.
    spreads = [faces.inputs[faces.labels == label].std(axis=0).mean() for label in (0, 1)]
    assert spreads[1] < spreads[0]


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_files_of_mnist_are_read_under_each_of_their_names(tmp_path, images, ending, mark):
    labels = np.array([3, 0, 9, 1, 1])
    for stem, axes, array in (("images", 3, images), ("labels", 1, labels)):
        write_idx(tmp_path / f"t10k-{stem}{mark}idx{axes}-ubyte{ending}", array)
    read = datasets.load_dataset(tmp_path, part="test")
    assert (read.name, read.image_shape, read.num_classes) == (tmp_path.name, (3, 2), 10)
    np.testing.assert_array_equal(read.inputs.reshape(5, 3, 2) * 255, images)
    np.testing.assert_array_equal(read.labels, labels)
    with pytest.raises(ValueError, match="train-images-idx3-ubyte"):
        datasets.load_dataset(tmp_path)


def test_files_of_cifar_are_read_pixel_by_pixel(cifar):
    folder, records = cifar
    read = datasets.load_dataset(str(folder))
    assert (read.inputs.shape, read.image_shape, read.num_classes) == ((10, 3072), (32, 32, 3), 10)
    for number, record in enumerate(records[:5].reshape(10, 3073)):
        assert read.labels[number] == record[0]
        image = read.inputs[number].reshape(32, 32, 3)
        for row, column, colour in ((0, 0, 0), (3, 7, 1), (31, 30, 2)):
            pixel = record[1 + 1024 * colour + 32 * row + column]
            assert image[row, column, colour] == pixel / 255
    test = datasets.load_dataset(folder, part="test", num_samples=1)
    np.testing.assert_array_equal(test.labels, records[5, :1, 0])


def test_the_first_samples_are_taken(mnist):
    few, all_of_them = datasets.load_dataset(mnist, num_samples=2), datasets.load_dataset(mnist)
    np.testing.assert_array_equal(few.inputs, all_of_them.inputs[:2])
    np.testing.assert_array_equal(few.labels, [3, 0])
    with pytest.raises(ValueError, match=r"num_samples is 6, but .* has 5 images"):
        datasets.load_dataset(mnist, num_samples=6)


def refuse(folder, pattern):
    """Assert that a folder is refused in one line, without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=pattern) as caught:
            datasets.load_dataset(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + 3 * len(str(folder))


HEAD = bytes([0, 0, 8, 3])


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"", "ends within its head of 16 bytes: it is truncated"),
        (HEAD + b"\0\0\0\5", "ends within its head"),
        (b"PK\3\4" + bytes(40), "begins with the bytes 50 4b 03 04; .* begins with 00 00 08 03"),
        (bytes([0, 0, 13, 3]) + bytes(40), "begins with the bytes 00 00 0d 03"),
        (HEAD + bytes(12), "it holds 0 x 0 x 0 bytes; their number must be from 1 to"),
        (HEAD + b"\xff" * 12, "4294967295 x 4294967295 x 4294967295 bytes"),
        (HEAD + struct.pack(">3I", 5, 3, 2) + bytes(29), "5 x 3 x 2 bytes .* has 29, it is trunc"),
        (HEAD + struct.pack(">3I", 5, 3, 2) + bytes(31), "5 x 3 x 2 bytes .* it has more"),
    ],
)
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_damaged_images_are_refused_in_a_line(mnist, content, pattern, ending):
    (mnist / TRAIN_IMAGES).unlink()
    path = mnist / f"{TRAIN_IMAGES}{ending}"
    path.write_bytes(gzip.compress(content) if ending else content)
    refuse(mnist, pattern)


def test_a_packed_file_that_is_cut_or_none_is_refused(mnist, images):
    (mnist / TRAIN_IMAGES).unlink()
    path = mnist / f"{TRAIN_IMAGES}.gz"
    write_idx(path, images)
    whole = path.read_bytes()
    for cut in (2, 8, len(whole) // 2, len(whole) - 9):
        path.write_bytes(whole[:cut])
        refuse(mnist, r"images-idx3-ubyte\.gz cannot be read, or is truncated")
    for content in (b"no gzip", whole[:10] + b"\xff" * 20):
        path.write_bytes(content)
        refuse(mnist, r"images-idx3-ubyte\.gz cannot be read")


def test_a_small_packed_file_cannot_fill_the_memory(mnist):
    (mnist / TRAIN_IMAGES).unlink()
    content = HEAD + struct.pack(">3I", 5, 3, 2) + bytes(10**8)
    (mnist / f"{TRAIN_IMAGES}.gz").write_bytes(gzip.compress(content))
    refuse(mnist, "it has more")


def test_labels_that_do_not_fit_are_refused(mnist):
    write_idx(mnist / TRAIN_LABELS, np.array([1, 2, 3, 4]))
    refuse(mnist, "images-idx3-ubyte holds 5 images but .*labels-idx1-ubyte holds 4 labels")
    write_idx(mnist / TRAIN_LABELS, np.array([1, 2, 3, 10, 4]))
    refuse(mnist, "labels-idx1-ubyte has the label 10 at image 3; labels must be from 0 to 9")
    write_idx(mnist / TRAIN_LABELS, np.zeros((5, 1, 1)))
    refuse(mnist, "begins with the bytes 00 00 08 03; an idx file of labels begins with 00 00 08 0")
    (mnist / TRAIN_LABELS).unlink()
    refuse(mnist, "lacks train-labels-idx1-ubyte, or the same with .gz")


@pytest.mark.parametrize("number", [0, 1, 3072, 2 * 3073 - 1, 2 * 3073 + 1])
def test_a_cifar_file_of_broken_images_is_refused(cifar, number):
    folder, _ = cifar
    (folder / "data_batch_2.bin").write_bytes(bytes(number))
    refuse(folder, rf"data_batch_2\.bin has {number} bytes; it must hold images of 3073 bytes")


def test_a_cifar_folder_that_is_not_whole_is_refused(cifar):
    folder, records = cifar
    spoilt = records[3].copy()
    spoilt[1, 0] = 11
    (folder / "data_batch_4.bin").write_bytes(spoilt.tobytes())
    refuse(folder, r"data_batch_4\.bin has the label 11 at image 1; labels must be from 0 to 9")
    (folder / "data_batch_4.bin").unlink()
    refuse(folder, r"lacks data_batch_4\.bin; it must hold all of train")


def test_pickled_files_are_never_opened(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(b"cos\nsystem\n(S'exit'\ntR.")
    refuse(tmp_path, r"neither MNIST's .* nor data_batch_1\.bin .*\(those here are pickled\)")
    refuse(tmp_path / "no folder", "is neither a folder nor one of digits, faces")


def test_labels_become_a_column_for_each_class():
    labels = [2, 0, 2]
    np.testing.assert_array_equal(
        datasets.encode_labels(labels, 4), [[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    )
    centred = datasets.encode_labels(labels, 4, centred=True)
    np.testing.assert_allclose(centred[0], [-1 / 3, 0, 1 / 3, 0])
    np.testing.assert_allclose(centred.sum(axis=0), 0, atol=1e-15)
    for bad in ([3], [-1], [0.5]):
        with pytest.raises(ValueError, match="whole numbers from 0 to 2"):
            datasets.encode_labels(bad, 3)


def test_a_subset_is_drawn_by_its_seed_without_replacement():
    faces = datasets.load_dataset("faces")
    drawn = datasets.draw_subset(faces, 150, seed=3)
    places = [np.flatnonzero((faces.inputs == row).all(axis=1)) for row in drawn.inputs]
    # Each row is an image of its own, with its own label; no two images are the same.
    assert len({int(place) for (place,) in places}) == 150
    np.testing.assert_array_equal(drawn.labels, faces.labels[np.concatenate(places)])
    again, other = (datasets.draw_subset(faces, 150, seed=seed) for seed in (3, 4))
    np.testing.assert_array_equal(again.inputs, drawn.inputs)
    assert (other.inputs != drawn.inputs).any(axis=1).mean() > 0.9
    assert (drawn.image_shape, drawn.num_classes) == ((25, 25), 2)
    with pytest.raises(ValueError, match="num_samples is 201; it must be at most 200"):
        datasets.draw_subset(faces, 201, seed=0)


def test_shuffling_labels_changes_nothing_else():
    digits = datasets.load_dataset("digits")
    plain = datasets.draw_subset(digits, 400, seed=[1, 2])
    shuffled = datasets.draw_subset(digits, 400, seed=[1, 2], shuffle_labels=True)
    np.testing.assert_array_equal(plain.inputs, shuffled.inputs)
    np.testing.assert_array_equal(np.sort(plain.labels), np.sort(shuffled.labels))
    assert 0.05 < (plain.labels == shuffled.labels).mean() < 0.2


def test_images_are_arranged_row_by_row(cifar):
    faces = datasets.load_dataset("faces")
    sheet = datasets.arrange_images(faces, 2, 3)
    assert sheet.shape == (51, 77)
    assert (sheet[25] == 0.5).all()
    assert (sheet[:, 25::26] == 0.5).all()
    for place in range(6):
        top, left = 26 * (place // 3), 26 * (place % 3)
        image = faces.inputs[place].reshape(25, 25)
        np.testing.assert_array_equal(sheet[top : top + 25, left : left + 25], image)
    coloured = datasets.load_dataset(cifar[0])
    grey = datasets.arrange_images(coloured, 1, 2)[:, 33:]
    np.testing.assert_allclose(grey, coloured.inputs[1].reshape(32, 32, 3).mean(axis=-1))
    with pytest.raises(ValueError, match="num_columns is 101; it must be at most 100"):
        datasets.arrange_images(faces, 2, 101)
