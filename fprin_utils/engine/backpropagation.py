"""Outputs and gradients of networks, in memory that is taken once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch

from fprin_utils import engine
from fprin_utils.engine.modules import SingleNetwork
from fprin_utils.networks import ACTIVATIONS, Activation, Ensemble


class Backpropagation:
    """Outputs of the networks of an ensemble, and the gradients of their losses by the chain rule.

    With inputs h_0, layer l computes z_l = h_{l-1} W_l + b_l and h_l = s(z_l), where s is the
    activation, left out in the last layer L. Given delta_L = dloss/dz_L, the gradients are::

        dloss/dW_l = h_{l-1}^T delta_l          dloss/db_l = sum over the points of delta_l
        delta_{l-1} = (delta_l W_l^T) * s'(z_{l-1})

    which is what automatic differentiation computes, too, but in buffers that are allocated once.
    The way back writes delta_l over h_l, which nothing needs any more.

    Attributes:
        parameters: Weights and biases, in the order of `Ensemble.parameters`; they share their
            memory with the ensemble's, and their `grad` holds the gradients.
    """

    def __init__(self, ensemble: Ensemble) -> None:
        """Take the parameters of an ensemble; they change with the ensemble's, and it with them."""
        self.weights = [weight.detach() for weight in ensemble.weights]
        self.biases = [bias.detach() for bias in ensemble.biases]
        self.parameters = self.weights + self.biases
        for parameter in self.parameters:
            parameter.grad = torch.zeros_like(parameter)
        self.activation = ACTIVATIONS[ensemble.activation]
        self.buffers: dict[int, _Buffers] = {}

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Evaluate the networks.

        Args:
            inputs: Shape (S, N, num_inputs).

        Returns:
            Outputs, shape (S, N, num_outputs), in a buffer that the next call overwrites.
        """
        num_points = inputs.shape[1]
        if num_points not in self.buffers:
            self.buffers[num_points] = _Buffers(self.weights, self.activation, num_points)
        self.inputs, self.used = inputs, self.buffers[num_points]
        below = inputs
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            before, hidden = self.used.before[layer], self.used.hidden[layer]
            torch.baddbmm(bias, below, weight, out=before)
            if layer < len(self.weights) - 1:
                self.activation.write(before, hidden)
            below = hidden
        return below

    def backward(self, delta: torch.Tensor) -> None:
        """Fill in the gradients for the points of the last `forward`.

        Args:
            delta: Derivative of the loss of each network by its outputs, shape
                (S, N, num_outputs).
        """
        for layer in reversed(range(len(self.weights))):
            weight, bias = self.weights[layer], self.biases[layer]
            below = self.used.hidden[layer - 1] if layer else self.inputs
            torch.bmm(below.mT, delta, out=weight.grad)
            torch.sum(delta, dim=1, keepdim=True, out=bias.grad)
            if layer:
                flowing = torch.bmm(delta, weight.mT, out=self.used.scratch[layer - 1])
                self.activation.pull_back(flowing, self.used.before[layer - 1], below)
                delta = below


class _Buffers:
    """Room for what an ensemble computes on N points, a tensor of shape (S, N, width) a layer.

    Attributes:
        before: Arguments z of the activations.
        hidden: Their values h; the same tensors where the way back can do without z.
        scratch: For gradients on their way back; all layers share one piece of memory.
    """

    def __init__(
        self, weights: Sequence[torch.Tensor], activation: Activation, num_points: int
    ) -> None:
        shapes = [(len(weight), num_points, weight.shape[2]) for weight in weights]
        self.hidden = [weights[0].new_empty(shape) for shape in shapes]
        self.before = self.hidden
        if activation.needs_argument:
            self.before = [torch.empty_like(hidden) for hidden in self.hidden[:-1]]
            self.before.append(self.hidden[-1])
        shared = weights[0].new_empty(max(hidden.numel() for hidden in self.hidden))
        self.scratch = [shared[: hidden.numel()].view_as(hidden) for hidden in self.hidden]


class AutomaticDifferentiation:
    """The same for networks of any kind: outputs, and gradients by torch.autograd.

    Attributes:
        parameters: The parameters that are trained; their `grad` holds the gradients.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        evaluate: Callable[[torch.Tensor], torch.Tensor],
    ) -> None:
        """Take parameters, and what turns inputs (S, N, num_inputs) into (S, N, num_outputs)."""
        self.evaluate = evaluate
        self.parameters = []
        for parameter in parameters:
            if parameter.requires_grad:
                parameter.grad = torch.zeros_like(parameter)
                self.parameters.append(parameter.detach())
                self.parameters[-1].grad = parameter.grad

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs, shape (S, N, num_outputs), for inputs (S, N, num_inputs)."""
        with torch.enable_grad():
            self.outputs = self.evaluate(inputs)
        return self.outputs.detach()

    def backward(self, delta: torch.Tensor) -> None:
        """Fill in the gradients for the points of the last `forward`."""
        for parameter in self.parameters:
            parameter.grad.zero_()
        self.outputs.backward(delta)


def differentiate(
    networks: Ensemble | SingleNetwork,
) -> Backpropagation | AutomaticDifferentiation:
    """Return what computes the gradients of networks: by hand where that is known to be right."""
    if isinstance(networks, SingleNetwork):
        module = networks.module
        return AutomaticDifferentiation(module.parameters(), lambda x: module(x[0])[None])
    if engine.CALLS_KERNELS and ACTIVATIONS[networks.activation].pull_back:
        return Backpropagation(networks)
    return AutomaticDifferentiation(networks.parameters(), networks)
