"""What is refused: checks that several modules share, each with a message that names the value."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

# The largest of the whole numbers that floats, too, can all tell apart.
MOST_WHOLE = 2**53


def check_whole(name: str, value: Any, *, least: int = 0) -> int:
    """Return a whole number, or raise a ValueError that names it and what is allowed.

    Args:
        name: What the number is called.
        value: A whole number of any type; 1e4 is one, too.
        least: Least value allowed.

    Returns:
        The value as an int.

    Raises:
        ValueError: If the value is no whole number, below the least, or above `MOST_WHOLE`.
    """
    try:
        whole = None if isinstance(value, bool) else int(value)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != value or whole < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    if whole > MOST_WHOLE:
        raise ValueError(f"{name} is {value!r}; it must be at most {MOST_WHOLE}")
    return whole


def check_number(name: str, value: Any, wanted: str, is_allowed: Callable[[float], bool]) -> float:
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
    try:
        number = math.nan if isinstance(value, (str, bool)) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number) or not is_allowed(number):
        raise ValueError(f"{name} is {value!r}; it must be {wanted}")
    return number


def check_device(device: str) -> None:
    """Raise a ValueError unless torch can compute on the device ("cpu", "cuda", "cuda:1")."""
    try:
        kind = torch.device(device).type
    except (RuntimeError, TypeError):
        kind = None
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device {device!r} is not one of cpu, cuda")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device!r} asked for, but torch finds no GPU here; use cpu")


def check_plain(name: str, value: Any) -> Any:
    """Return a setting as JSON holds it, or raise a ValueError that names it.

    Args:
        name: What the setting is called.
        value: A text, a number, a boolean, None, or lists and mappings with names of these.

    Returns:
        The value; tuples as lists.

    Raises:
        ValueError: If JSON cannot hold the value.
    """
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: check_plain(name, entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, range)):
        return [check_plain(name, entry) for entry in value]
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    if not (is_number or isinstance(value, (str, type(None)))):
        raise ValueError(
            f"{name} is {value!r}; it must be a finite number, a text, a boolean, or a list of them"
        )
    return value
