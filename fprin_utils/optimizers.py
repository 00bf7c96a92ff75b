"""How weights move: optimisers that update tensors in place from the gradients beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from fprin_utils.checks import check_choice, check_number


class GradientDescent:
    """Plain gradient descent: p <- p - learning_rate * gradient.

    Attributes:
        moments: What the optimiser remembers from step to step, by name: a tensor for each
            parameter, of its shape.
        num_updates: Number of updates so far.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], learning_rate: float) -> None:
        """Start without any memory.

        Args:
            parameters: Tensors to update; their `grad` is read at each update and must stay the
                same tensor.
            learning_rate: Step size.
        """
        self.parameters = list(parameters)
        self.gradients = [parameter.grad for parameter in parameters]
        self.learning_rate = learning_rate
        self.moments: dict[str, list[torch.Tensor]] = {}
        self.num_updates = 0

    def update(self) -> None:
        """Move the parameters by one step."""
        self.num_updates += 1
        torch._foreach_add_(self.parameters, self.gradients, alpha=-self.learning_rate)

    def restore(self, num_updates: int, moments: Mapping[str, Sequence[torch.Tensor]]) -> None:
        """Go on from what an optimiser of the same kind remembered.

        Args:
            num_updates: Its number of updates.
            moments: Its moments, of the same names and shapes as these; they are copied.
        """
        self.num_updates = num_updates
        for name, mine in self.moments.items():
            for moment, restored in zip(mine, moments[name], strict=True):
                moment.copy_(restored)

    def _make_moment(self, name: str) -> list[torch.Tensor]:
        self.moments[name] = [torch.zeros_like(parameter) for parameter in self.parameters]
        return self.moments[name]


class Momentum(GradientDescent):
    """Heavy-ball momentum: v <- momentum * v + gradient, p <- p - learning_rate * v."""

    def __init__(
        self, parameters: Sequence[torch.Tensor], learning_rate: float, momentum: float
    ) -> None:
        """As `GradientDescent`, with the momentum coefficient."""
        super().__init__(parameters, learning_rate)
        self.momentum = momentum
        self.velocities = self._make_moment("velocity")

    def update(self) -> None:
        """Move the parameters by one step."""
        self.num_updates += 1
        torch._foreach_mul_(self.velocities, self.momentum)
        torch._foreach_add_(self.velocities, self.gradients)
        torch._foreach_add_(self.parameters, self.velocities, alpha=-self.learning_rate)


class Adam(GradientDescent):
    """Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) with PyTorch's default coefficients.

    One fused kernel updates all parameters. It is the one behind `torch.optim.Adam(fused=True)`,
    called directly, as that class spends about ten times as long in Python for small networks.
    """

    def __init__(self, parameters: Sequence[torch.Tensor], learning_rate: float) -> None:
        """As `GradientDescent`.

        Raises:
            ValueError: If a parameter has gaps in memory, as a view of every other column has: the
                kernel would go over what lies between.
        """
        super().__init__(parameters, learning_rate)
        for parameter in parameters:
            # PyTorch keeps the strides of what has no gaps, and of nothing else.
            if torch.empty_like(parameter).stride() != parameter.stride():
                raise ValueError(
                    f"a parameter of shape {tuple(parameter.shape)} does not lie in memory in one "
                    f"piece (its strides are {parameter.stride()}); train a copy of it"
                )
        self.means = self._make_moment("mean")
        self.squares = self._make_moment("square")
        count = torch.zeros((), device=self.parameters[0].device)
        self.counts = [count] * len(self.parameters)

    def update(self) -> None:
        """Move the parameters by one step."""
        self.num_updates += 1
        self.counts[0].fill_(self.num_updates)
        torch._fused_adam_(
            *(self.parameters, self.gradients, self.means, self.squares, [], self.counts),
            lr=self.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=0.0,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


OPTIMIZERS = ("adam", "gradient_descent", "momentum")


def check_optimizer(name: str, learning_rate: float, momentum: float) -> tuple[float, float]:
    """Return learning rate and momentum as floats.

    Raises:
        ValueError: Unless there is an optimiser of that name and the numbers are in range.
    """
    check_choice("optimizer", name, OPTIMIZERS)
    return (
        check_number("learning_rate", learning_rate, "a positive number", lambda rate: rate > 0),
        check_number("momentum", momentum, "from 0 to below 1", lambda share: 0 <= share < 1),
    )


def make_optimizer(
    name: str, parameters: Sequence[torch.Tensor], learning_rate: float, momentum: float
) -> GradientDescent:
    """Return the optimiser of a name.

    Args:
        name: One of `OPTIMIZERS`.
        parameters: Tensors to update, each with its `grad`.
        learning_rate: Step size.
        momentum: Coefficient of "momentum".

    Returns:
        The optimiser.
    """
    if name == "momentum":
        return Momentum(parameters, learning_rate, momentum)
    return {"adam": Adam, "gradient_descent": GradientDescent}[name](parameters, learning_rate)
