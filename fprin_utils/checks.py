"""What is refused: checks that several rooms share, each with a message that names the value."""

from __future__ import annotations

from typing import Any

import torch


def check_whole(name: str, value: Any, *, least: int = 0) -> int:
    """Return a whole number, or raise a ValueError that names it and what is allowed.

    Args:
        name: What the number is called.
        value: A whole number of any type; 1e4 is one, too.
        least: Least value allowed.

    Returns:
        The value as an int.

    Raises:
        ValueError: If the value is no whole number or below the least.
    """
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != value or whole < least:
        raise ValueError(f"{name} is {value!r}; it must be a whole number of at least {least}")
    return whole


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
