"""Optimisers, which update tensors in place from the gradients beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch

from fprin_utils import engine
from fprin_utils.checks import check_choice, check_kind, check_number, tell


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


class TorchOptimizer(GradientDescent):
    """Any optimiser of torch.optim in the place of one of these."""

    def __init__(
        self, parameters: Sequence[torch.Tensor], learning_rate: float, factory: Factory
    ) -> None:
        """As `GradientDescent`, with what makes the optimiser of parameters and `lr`."""
        self.parameters = list(parameters)
        self.optimizer = factory(self.parameters, lr=learning_rate)
        self.num_updates = 0

    @property
    def moments(self) -> dict[str, list[torch.Tensor]]:
        """What the optimiser remembers from step to step, by name.

        Raises:
            ValueError: If something of it is no tensor: it could not be saved.
        """
        moments: dict[str, list[torch.Tensor]] = {}
        for parameter in self.parameters:
            for name, value in self.optimizer.state.get(parameter, {}).items():
                if value is not None:
                    check_kind(f"{name} of the optimizer", value, torch.Tensor, "a tensor")
                    moments.setdefault(name, []).append(value)
        return moments

    def update(self) -> None:
        """Move the parameters by one step."""
        self.num_updates += 1
        self.optimizer.step()

    def restore(self, num_updates: int, moments: Mapping[str, Sequence[torch.Tensor]]) -> None:
        """Go on from what an optimiser of the same kind remembered."""
        self.num_updates = num_updates
        for name, each in moments.items():
            for parameter, moment in zip(self.parameters, each, strict=True):
                self.optimizer.state[parameter][name] = moment.clone()


Factory = Callable[..., torch.optim.Optimizer]
# By name: what calls the kernels, or None, and what PyTorch has for it.
NAMED = {
    "adam": (Adam, torch.optim.Adam),
    "gradient_descent": (GradientDescent, torch.optim.SGD),
    "momentum": (Momentum, torch.optim.SGD),
}
OPTIMIZERS = tuple(NAMED)


def check_optimizer(
    optimizer: str | Factory, learning_rate: float, momentum: float
) -> tuple[float, float]:
    """Return learning rate and momentum as floats.

    Raises:
        ValueError: Unless there is an optimiser of that name, or the factory makes one, and the
            numbers are in range.
    """
    learning_rate = check_number(
        "learning_rate", learning_rate, "a positive number", lambda rate: rate > 0
    )
    momentum = check_number("momentum", momentum, "from 0 to below 1", lambda m: 0 <= m < 1)
    if not callable(optimizer):
        check_choice("optimizer", optimizer, OPTIMIZERS)
        return learning_rate, momentum
    parameter = torch.zeros(1)
    parameter.grad = torch.zeros(1)
    try:
        made = optimizer([parameter], lr=learning_rate)
        made.step()
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"optimizer {tell(optimizer)} makes no optimiser of torch.optim that steps without a "
            f"closure: {type(error).__name__} {reason}"
        ) from error
    check_kind("optimizer", made, torch.optim.Optimizer, "what makes an optimiser of torch.optim")
    if isinstance(made, torch.optim.Adafactor):
        raise ValueError(
            "optimizer Adafactor scales its steps by all weights of a tensor, in which networks "
            "lie side by side; it must treat each weight by itself"
        )
    return learning_rate, momentum


def describe_optimizer(optimizer: str | Factory) -> str:
    """Return the name of an optimiser, or all that a factory says of what it makes."""
    if isinstance(optimizer, str):
        return optimizer
    made = optimizer([torch.zeros(1)], lr=1.0)
    return f"{type(made).__qualname__} {made.defaults}"


def make_optimizer(
    optimizer: str | Factory,
    parameters: Sequence[torch.Tensor],
    learning_rate: float,
    momentum: float,
) -> GradientDescent:
    """Return the optimiser of a name, or of a factory.

    Args:
        optimizer: One of `OPTIMIZERS`, or what makes an optimiser of parameters and `lr`.
        parameters: Tensors to update, each with its `grad`.
        learning_rate: Step size.
        momentum: Coefficient of "momentum".

    Returns:
        The optimiser.
    """
    if callable(optimizer):
        return TorchOptimizer(parameters, learning_rate, optimizer)
    native, factory = NAMED[optimizer]
    further = {"momentum": momentum} if optimizer == "momentum" else {}
    if native is None or not engine.CALLS_KERNELS:
        return TorchOptimizer(parameters, learning_rate, partial(factory, **further))
    return native(parameters, learning_rate, **further)
