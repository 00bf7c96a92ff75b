"""Ensembles of fully connected networks, one network a seed, and the table of activations."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from fprin_utils.checks import (
    MOST_VALUES,
    check_choice,
    check_device,
    check_list,
    check_number,
    check_whole,
    tell,
)

INITIALIZATIONS = ("normal", "pytorch", "glorot", "fan_in")


@dataclass(frozen=True)
class Activation:
    """An activation s, and how training computes it and its derivative in memory it already has.

    Attributes:
        function: s, as PyTorch can differentiate it.
        write: Called with z and a buffer h; writes s(z) into h, which may be z itself.
        pull_back: Called with a gradient g by h, with z and with h; writes g s'(z) over h. Without
            it networks with this activation are differentiated automatically.
        needs_argument: Whether `pull_back` needs z; if not, s(z) may overwrite it.
    """

    function: Callable[[torch.Tensor], torch.Tensor]
    write: Callable[[torch.Tensor, torch.Tensor], object] | None = None
    pull_back: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], object] | None = None
    needs_argument: bool = False


def _write_tanh(z: torch.Tensor, h: torch.Tensor) -> None:
    if z.device.type == "cpu":
        # As exact as torch.tanh, and several times faster.
        np.tanh(z.numpy(), out=h.numpy())
    else:
        torch.tanh(z, out=h)


# The kernels that torch.autograd itself calls, so that no derivative is written down twice.
_backward = torch.ops.aten
# To add an activation takes one line: Activation(torch.nn.functional.softplus) will do.
ACTIVATIONS = {
    "tanh": Activation(
        torch.tanh,
        _write_tanh,
        lambda g, _, h: _backward.tanh_backward.grad_input(g, h, grad_input=h),
    ),
    "relu": Activation(
        torch.relu,
        lambda z, h: torch.clamp_min(z, 0, out=h),
        lambda g, _, h: _backward.threshold_backward.grad_input(g, h, 0, grad_input=h),
    ),
    "sigmoid": Activation(
        torch.sigmoid,
        lambda z, h: torch.sigmoid(z, out=h),
        lambda g, _, h: _backward.sigmoid_backward.grad_input(g, h, grad_input=h),
    ),
    "sin": Activation(
        torch.sin,
        lambda z, h: torch.sin(z, out=h),
        lambda g, z, h: torch.mul(g, torch.cos(z, out=z), out=h),
        needs_argument=True,
    ),
    # The linear B-spline on [0, 2], "hat" in arXiv:2208.04924.
    "hat": Activation(
        lambda z: torch.relu(1 - (z - 1).abs()),
        lambda z, h: torch.sub(z, 1, out=h).abs_().neg_().add_(1).clamp_min_(0),
        lambda g, z, h: torch.mul(h.sign_(), torch.sub(1, z, out=z).sign_(), out=h).mul_(g),
        needs_argument=True,
    ),
}


class Ensemble(torch.nn.Module):
    """S independent fully connected networks of one shape, evaluated side by side.

    Each layer holds the weights of all networks in one tensor, so that one batched matrix product
    does the work of S small ones. The weights of a network depend on its own seed alone: seed 3
    starts from the same numbers whether it is trained by itself or with others.

    Attributes:
        seeds: Seeds, one per network, length S.
        initialization: How the weights were drawn, in words.
        weights: Weight tensors, one per layer, each of shape (S, in, out).
        biases: Bias tensors, one per layer, each of shape (S, 1, out).
    """

    def __init__(
        self,
        widths: Sequence[int],
        *,
        seeds: Sequence[int],
        activation: str = "tanh",
        initialization: str = "normal",
        init_std: float = 0.05,
        gain: float = 1.0,
        num_inputs: int = 1,
        num_outputs: int = 1,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ) -> None:
        """Draw the initial weights.

        Args:
            widths: Neurons of each hidden layer, first to last.
            seeds: One per network.
            activation: One of `ACTIVATIONS`.
            initialization: How weights and biases are drawn, for a layer with `in` inputs:
                "normal": both N(0, init_std^2); "pytorch": both uniform within 1 / sqrt(in);
                "glorot": weights uniform within sqrt(6 / (in + out)), biases 0;
                "fan_in": weights N(0, gain^2 / in), biases 0.
            init_std: Standard deviation for "normal".
            gain: Scale for "fan_in".
            num_inputs: Input dimensions.
            num_outputs: Output dimensions.
            dtype: torch.float32 or torch.float64.
            device: "cpu", or "cuda" where there is one.

        Raises:
            ValueError: If an argument is outside what is listed above.
        """
        super().__init__()
        widths = check_list("widths", widths, object, "at least one hidden layer")
        seeds = check_list("seeds", seeds, object, "seeds, at least one")
        self.seeds = [check_whole("a seed", seed) for seed in seeds]
        self.activation = activation
        sizes = [
            check_whole("num_inputs", num_inputs, least=1),
            *(check_whole("a width", width, least=1) for width in widths),
            check_whole("num_outputs", num_outputs, least=1),
        ]
        num_values = sum(below * above + above for below, above in pairwise(sizes))
        if num_values * len(self.seeds) > MOST_VALUES:
            raise ValueError(
                f"with {len(self.seeds)} seeds, num_inputs, widths and num_outputs of {sizes} mean "
                f"{num_values * len(self.seeds):.2g} parameters; there may be {MOST_VALUES:.2g}"
            )
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("initialization", initialization, INITIALIZATIONS)
        init_std, gain = (
            check_number(name, scale, "a positive number, up to 1e6", lambda s: 0 < s <= 1e6)
            for name, scale in (("init_std", init_std), ("gain", gain))
        )
        if not isinstance(dtype, torch.dtype) or dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype {tell(dtype)} is not one of torch.float32, torch.float64")
        check_device(device)
        scales = {"normal": f", standard deviation {init_std:g}", "fan_in": f", gain {gain:g}"}
        self.initialization = initialization + scales.get(initialization, "")

        # Drawn in float64 on the CPU, so that a seed means the same numbers on every device.
        drawn = [
            _draw_layers(sizes, seed, initialization, init_std=init_std, gain=gain)
            for seed in self.seeds
        ]
        self.weights, self.biases = (
            torch.nn.ParameterList(
                torch.stack([layers[index][kind] for layers in drawn]).to(device, dtype)
                for index in range(len(sizes) - 1)
            )
            for kind in (0, 1)
        )

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return self.weights[0].dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights[0].device

    @property
    def num_layers(self) -> int:
        """Number of weight matrices L of each network."""
        return len(self.weights)

    @property
    def num_inputs(self) -> int:
        """Input dimensions of each network."""
        return self.weights[0].shape[1]

    @property
    def num_outputs(self) -> int:
        """Output dimensions of each network."""
        return self.weights[-1].shape[2]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Evaluate every network.

        Args:
            inputs: Shape (N, num_inputs), the same for all networks, or (S, N, num_inputs).

        Returns:
            Outputs, shape (S, N, num_outputs).
        """
        activate = ACTIVATIONS[self.activation].function
        hidden = inputs.expand(len(self.seeds), *inputs.shape[-2:])
        # Not weights[:-1]: a slice is a new list of parameters, which torch.func cannot replace.
        *layers, (last_weight, last_bias) = zip(self.weights, self.biases, strict=True)
        for weight, bias in layers:
            hidden = activate(torch.baddbmm(bias, hidden, weight))
        return torch.baddbmm(last_bias, hidden, last_weight)

    def describe(self) -> dict[str, Any]:
        """Return sizes, activation, number type and initialisation, by what they tell of."""
        sizes = [self.num_inputs, *(weight.shape[2] for weight in self.weights)]
        return {
            "network": f"{self.activation} {'-'.join(map(str, sizes))} {self.dtype}",
            "initialization": self.initialization,
        }

    def take(self, members: slice | Sequence[int]) -> Ensemble:
        """Return some of the networks as an ensemble of their own.

        Args:
            members: Places of the networks, from 0. As in numpy, a slice shares memory with this
                ensemble, so that training the one trains the other; places one by one are copied.

        Returns:
            The ensemble of these networks.
        """
        taken = copy.copy(self)
        taken._modules = {}
        places = members if isinstance(members, slice) else list(members)
        taken.seeds = list(np.array(self.seeds)[places])
        taken.weights, taken.biases = (
            # Not detach(): with that, what trains one part would spoil the graph of another.
            torch.nn.ParameterList(tensor.data[places] for tensor in tensors)
            for tensors in (self.weights, self.biases)
        )
        return taken

    @torch.no_grad()
    def put(self, members: Sequence[int], networks: Ensemble) -> None:
        """Replace the weights of some of the networks.

        Args:
            members: Places of the networks, from 0.
            networks: As many networks of the same shape.
        """
        for mine, theirs in zip(self.parameters(), networks.parameters(), strict=True):
            mine[list(members)] = theirs

    @torch.no_grad()
    def compute_spectral_norms(self) -> np.ndarray:
        """Return the largest singular value of each weight matrix, by SVD.

        Returns:
            Spectral norms, shape (S, L) for L layers.
        """
        norms = [torch.linalg.svdvals(weight)[:, 0] for weight in self.weights]
        return torch.stack(norms, dim=1).cpu().numpy()


def _draw_layers(
    sizes: Sequence[int], seed: int, initialization: str, *, init_std: float, gain: float
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Draw one network: a (weight, bias) pair per layer, shapes (in, out) and (1, out)."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def uniform(*shape: int) -> torch.Tensor:
        return 2 * torch.rand(*shape, generator=generator, dtype=torch.float64) - 1

    layers = []
    for fan_in, fan_out in pairwise(sizes):
        weight_shape, bias_shape = (fan_in, fan_out), (1, fan_out)
        if initialization == "normal":
            layer = init_std * normal(*weight_shape), init_std * normal(*bias_shape)
        elif initialization == "pytorch":
            bound = 1 / math.sqrt(fan_in)
            layer = bound * uniform(*weight_shape), bound * uniform(*bias_shape)
        else:
            if initialization == "glorot":
                weight = math.sqrt(6 / (fan_in + fan_out)) * uniform(*weight_shape)
            else:
                weight = gain / math.sqrt(fan_in) * normal(*weight_shape)
            layer = weight, torch.zeros(bias_shape, dtype=torch.float64)
        layers.append(layer)
    return layers
