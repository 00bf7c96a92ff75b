"""A network of any kind in the place of an ensemble of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from fprin_utils.checks import tell


class SingleNetwork:
    """One network of any kind in the place of an ensemble of one, with the seed 0.

    Attributes:
        module: The network; it maps inputs (N, num_inputs) to outputs (N, num_outputs).
        seeds: The one seed 0.
        num_layers: 0, as a module does not tell its layers.
        num_inputs: None, as a module does not tell it.
        num_outputs: None, as a module does not tell it.
        dtype: That of the weights.
        device: That of the weights.
    """

    seeds = (0,)
    num_layers = 0
    num_inputs = num_outputs = None

    def __init__(self, module: torch.nn.Module) -> None:
        """Take a network.

        Raises:
            ValueError: If it is no torch.nn.Module, or has no parameter to train.
        """
        parameters = list(module.parameters()) if isinstance(module, torch.nn.Module) else []
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        if not trained:
            raise ValueError(
                f"networks is {tell(module)}; it must be an Ensemble or a torch.nn.Module with "
                "parameters to train"
            )
        self.module = module
        self.dtype, self.device = trained[0].dtype, trained[0].device
        if self.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"dtype {self.dtype} is not one of torch.float32, torch.float64")

    @torch.enable_grad()
    def check_fit(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        """Raise a ValueError unless the network turns inputs into outputs shaped as targets."""
        try:
            outputs = self(inputs)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"the network does not take inputs of shape {tuple(inputs.shape)}: {error}"
            ) from error
        if outputs.shape[1:] != targets.shape:
            raise ValueError(
                f"the network gives outputs of shape {tuple(outputs.shape[1:])} for targets of "
                f"shape {tuple(targets.shape)}"
            )
        if not outputs.requires_grad:
            raise ValueError("the outputs of the network do not depend on its parameters")

    @torch.no_grad()
    def check_repeatable(self, inputs: torch.Tensor) -> None:
        """Raise a ValueError if the network has a state beside its parameters."""
        if buffers := [name for name, _ in self.module.named_buffers()]:
            raise ValueError(f"a network with buffers ({', '.join(buffers)}) has no checkpoints")
        with torch.random.fork_rng(devices=[]):
            before = torch.get_rng_state()
            self.module(inputs)
            if not torch.equal(before, torch.get_rng_state()):
                raise ValueError("a network that draws random numbers has no checkpoints")

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Evaluate the network as it will be used, with dropout and the like switched off.

        Args:
            inputs: Shape (N, num_inputs).

        Returns:
            Outputs, shape (1, N, num_outputs).
        """
        modes = {module: module.training for module in self.module.modules()}
        self.module.eval()
        try:
            outputs = self.module(inputs)
        finally:
            for module, mode in modes.items():
                module.training = mode
        if not isinstance(outputs, torch.Tensor):
            raise TypeError(f"it gives a {type(outputs).__name__} and not a tensor")
        return outputs[None]

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """Go through the parameters."""
        return self.module.parameters()

    def describe(self) -> dict[str, Any]:
        """Return what the module says of itself, and the simple values that it holds."""
        named_modules = self.module.named_modules()
        return {
            "network": f"{type(self.module).__qualname__} {self.module!r} {self.dtype}",
            "parameters to train": [
                name for name, each in self.module.named_parameters() if each.requires_grad
            ],
            "attributes": {name: _list_attributes(module) for name, module in named_modules},
        }

    def take(self, _: slice | Sequence[int]) -> SingleNetwork:
        """Return itself, its only member."""
        return self


def _list_attributes(module: torch.nn.Module) -> dict[str, Any]:
    simple = (bool, int, float, str, type(None))
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_") and isinstance(value, simple)
    }
