"""Checks that several modules share, each with a message that names the value."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch

# The largest of the whole numbers that floats, too, can all tell apart.
MOST_WHOLE = 2**53
# Most numbers in an array that is made on request: 2 GiB of them.
MOST_VALUES = 2**28
# Larger numbers overflow when they are squared and summed.
LARGEST = 1e100
MOST_TOLD = 80


def tell(value: Any) -> str:
    """Return a value for a message, in one line that is not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= MOST_TOLD else f"{text[: MOST_TOLD - 3]}..."


def check_whole(name: str, value: Any, *, least: int = 0, most: int = MOST_WHOLE) -> int:
    """Return a whole number, or raise a ValueError that names it and what is allowed.

    Args:
        name: What the number is called.
        value: A whole number of any type; 1e4 is one, too.
        least: Least value allowed.
        most: Largest value allowed.

    Returns:
        The value as an int.

    Raises:
        ValueError: If the value is no whole number, below the least, or above the largest.
    """
    whole = _convert(value, int)
    if whole is None or whole != value or whole < least:
        raise ValueError(f"{name} is {tell(value)}; it must be a whole number of at least {least}")
    if whole > most:
        raise ValueError(f"{name} is {tell(value)}; it must be at most {most}")
    return whole


def check_seed(name: str, seed: int | Sequence[int]) -> int | list[int]:
    """Return what seeds a generator, one whole number or several; as `check_whole`."""
    if isinstance(seed, (list, tuple)) and seed:
        return [check_whole(name, number) for number in seed]
    return check_whole(name, seed)


def check_number(
    name: str,
    value: Any,
    wanted: str = "a finite number",
    is_allowed: Callable[[float], bool] = math.isfinite,
) -> float:
    """Return a finite number, or raise a ValueError that names it and what is allowed.

    Args:
        name: What the number is called.
        value: The number.
        wanted: What is allowed, in words.
        is_allowed: Tells whether a finite number is allowed.

    Returns:
        The value as a float.

    Raises:
        ValueError: If the value is no number, not finite, or not allowed.
    """
    number = _convert(value, float)
    if number is None or not math.isfinite(number) or not is_allowed(number):
        raise ValueError(f"{name} is {tell(value)}; it must be {wanted}")
    return number


def _convert(value: Any, kind: type[int] | type[float]) -> float | None:
    """Return a real number as one of a kind; nothing for what is none or cannot be converted."""
    try:
        return kind(value) if isinstance(value, Real) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        return None


def check_choice(name: str, value: Any, allowed: Collection[str]) -> str:
    """Return one of several names, or raise a ValueError that lists them."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} {tell(value)} is not one of {', '.join(allowed)}")
    return value


def check_kind(name: str, value: Any, kind: type | tuple[type, ...], wanted: str) -> Any:
    """Return a value of a type, or raise a ValueError that says in words what is wanted."""
    if not isinstance(value, kind):
        raise ValueError(f"{name} is {tell(value)}; it must be {wanted}")
    return value


def check_flag(name: str, value: Any) -> bool:
    """Return a boolean, or raise a ValueError: a text such as "no" would count as true."""
    return bool(check_kind(name, value, (bool, np.bool_), "True or False"))


def check_texts(**texts: Any) -> None:
    """Raise a ValueError that names the first of several values that is no text."""
    for name, value in texts.items():
        check_kind(name, value, str, "a text")


def check_list(
    name: str,
    values: Any,
    kind: type | tuple[type, ...],
    wanted: str,
    *,
    least: int = 1,
    length: int | None = None,
) -> list:
    """Return a list of values of one type, or raise a ValueError.

    Args:
        name: What the list is called.
        values: The values.
        kind: Their type.
        wanted: What is allowed, in words.
        least: How many there must be at least.
        length: How many there must be, if that is known.

    Returns:
        The values.
    """
    try:
        entries = None if isinstance(values, (str, Mapping)) else list(values)
    except TypeError:
        entries = None
    number = -1 if entries is None else len(entries)
    fits = number >= least if length is None else number == length
    if not fits or not all(isinstance(entry, kind) for entry in entries):
        number = "" if length is None else f"{length} "
        raise ValueError(f"{name} is {tell(values)}; it must list {number}{wanted}")
    return entries


def check_mapping(name: str, value: Any, wanted: str, *, least: int = 1) -> Mapping:
    """Return a mapping with so many entries, or raise a ValueError."""
    if not isinstance(value, Mapping) or len(value) < least:
        raise ValueError(f"{name} is {tell(value)}; it must map {wanted}")
    return value


def check_device(device: str) -> None:
    """Raise a ValueError unless torch can compute on the device ("cpu", "cuda", "cuda:1")."""
    try:
        kind = torch.device(device).type if isinstance(device, (str, torch.device)) else None
    except RuntimeError:
        kind = None
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {tell(device)} is not one of cpu, cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but torch finds no GPU here; use cpu")


def check_plain(name: str, value: Any) -> Any:
    """Return a setting as JSON holds it, or raise a ValueError that names it.

    Args:
        name: What the setting is called.
        value: A text, a number, a boolean, None, or lists and mappings with names of these; none
            of numpy's types, which not every reader of JSON could be given.

    Returns:
        The value; tuples as lists.

    Raises:
        ValueError: If JSON cannot hold the value.
    """
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: check_plain(name, entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [check_plain(name, entry) for entry in value]
    is_number = isinstance(value, (int, float)) and -math.inf < value < math.inf
    is_plain = is_number or isinstance(value, (str, type(None)))
    if not is_plain or isinstance(value, np.generic):
        raise ValueError(
            f"{name} is {tell(value)}; it must be a finite number, a text, a boolean, or a list of "
            "them, and none of numpy's types"
        )
    return value


def as_array(
    name: str,
    values: Any,
    shape: str = "(...)",
    *,
    is_complex: bool = False,
    is_finite: bool = True,
    known: dict[str, tuple[int, str]] | None = None,
) -> np.ndarray:
    """Return an array of numbers, or raise a ValueError that names it and what is allowed.

    Args:
        name: What the array is called.
        values: Anything that numpy turns into an array of numbers.
        shape: As docstrings write it: a letter stands for an axis with one entry or more, a number
            for an axis of that length, "..." at one end for any axes.
        is_complex: Whether the numbers may be complex.
        is_finite: Whether they must be finite.
        known: Lengths of axes by their letters, and in which array they were met; a letter that is
            new is added.

    Returns:
        The array, float64 or complex128; the same one if it is of that type.

    Raises:
        ValueError: If the values are no numbers, too large, or not of that shape.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biufc":
            raise TypeError(f"they are of type {array.dtype}")
        if array.dtype.kind == "c" and not is_complex:
            raise TypeError("its numbers are complex")
        array = array.astype(complex if is_complex else float, copy=False)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        kind, reason = "" if is_complex else "real ", " ".join(str(error).split())
        raise ValueError(f"{name} is no array of {kind}numbers: {reason}") from error
    _check_shape(name, array.shape, shape, {} if known is None else known)
    parts = (array.real, array.imag) if is_complex else (array,)
    if not all(_is_moderate(part if is_finite else part[np.isfinite(part)]) for part in parts):
        what = "that are not finite, or too large" if is_finite else "that are too large"
        raise ValueError(f"{name} holds values {what}")
    return array


def as_arrays(shapes: str, **arrays: Any) -> list[np.ndarray]:
    """Return several arrays of finite real numbers whose axes of the same letter are as long.

    Args:
        shapes: A shape for each, as for `as_array`: "(R,) (R, S)".
        **arrays: The arrays by name.

    Returns:
        The arrays.

    Raises:
        ValueError: As for `as_array`.
    """
    known: dict[str, tuple[int, str]] = {}
    each = zip(arrays.items(), re.findall(r"\(.*?\)", shapes), strict=True)
    return [as_array(name, values, shape, known=known) for (name, values), shape in each]


def as_flags(name: str, values: Any) -> np.ndarray:
    """Return a row of one or more booleans, shape (S,), or raise a ValueError that names it."""
    try:
        flags = np.asarray(values)
    except (TypeError, ValueError):
        flags = np.array(values, dtype=object)
    if flags.ndim != 1 or flags.size == 0 or flags.dtype != bool:
        raise ValueError(
            f"{name} has shape {flags.shape} and type {flags.dtype}; it must hold a boolean for "
            "each of one or more seeds"
        )
    return flags


def as_records(
    steps: Any, shape: str, *, is_finite: bool = True, **values: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Return recorded steps, shape (R,), and an array of values, given by its name.

    Args:
        steps: The steps, which must increase strictly from 0 or more.
        shape: That of the values, as for `as_array`.
        is_finite: Whether the values must be finite.
        **values: The values.

    Returns:
        Both arrays.

    Raises:
        ValueError: As for `as_array`, or if the steps do not increase.
    """
    known: dict[str, tuple[int, str]] = {}
    steps = as_array("steps", steps, "(R,)", known=known)
    check_increasing("steps", steps)
    if steps[0] < 0:
        raise ValueError(f"steps is {tell(steps)}; the first must be 0 or more")
    ((name, given),) = values.items()
    return steps, as_array(name, given, shape, is_finite=is_finite, known=known)


def check_increasing(name: str, values: np.ndarray) -> None:
    """Raise a ValueError unless the values of a row increase strictly."""
    if (np.diff(values) <= 0).any():
        raise ValueError(f"{name} is {tell(values)}; it must increase strictly")


def check_broadcast(**arrays: np.ndarray) -> None:
    """Raise a ValueError that names arrays unless numpy can put their shapes together."""
    try:
        np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        told = " and ".join(f"{name} of shape {array.shape}" for name, array in arrays.items())
        raise ValueError(f"{told} do not fit together") from None


def _is_moderate(numbers: np.ndarray) -> bool:
    # Both are not a number if one of the numbers is; no copy of the array is made.
    with np.errstate(invalid="ignore"):
        return numbers.min(initial=0) >= -LARGEST and numbers.max(initial=0) <= LARGEST


def _check_shape(
    name: str, found: tuple[int, ...], shape: str, known: dict[str, tuple[int, str]]
) -> None:
    axes = [axis.strip() for axis in shape.strip("()").split(",") if axis.strip()]
    named = [axis for axis in axes if axis != "..."]
    lengths = found[len(found) - len(named) :] if axes[0] == "..." else found[: len(named)]
    fits = len(found) == len(named) if axes == named else len(found) >= len(named)
    told = [f"{axis} = {known[axis][0]} as in {known[axis][1]}" for axis in named if axis in known]
    for axis, length in zip(named, lengths, strict=False):
        wanted = int(axis) if axis.isdigit() else known.setdefault(axis, (length, name))[0]
        fits = fits and length == wanted > 0
    if not fits:
        told += ["not empty"] * (0 in found)
        further = f", with {', '.join(told)}" if told else ""
        raise ValueError(f"{name} has shape {found}; it must be {shape}{further}")


def to_plain(value: Any) -> Any:
    """Turn numpy values into what JSON knows, to 4 significant digits; infinity into null."""
    if isinstance(value, Mapping):
        return {key: to_plain(entry) for key, entry in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [to_plain(entry) for entry in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.4g}") if np.isfinite(value) else None
    return value
