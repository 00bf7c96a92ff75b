import pytest
import torch

from fprin_utils.engine.optimizers import OPTIMIZERS, make_optimizer

PLAIN = {
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2),
    "gradient_descent": lambda parameters: torch.optim.SGD(parameters, lr=1e-2),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, momentum=0.7),
}


def make_parameters(dtype=torch.float64, num_networks=3):
    generator = torch.Generator().manual_seed(0)
    shapes = [(num_networks, 4, 5), (num_networks, 1, 5)]
    parameters = [torch.randn(*shape, generator=generator, dtype=dtype) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    return parameters


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_updates_are_those_of_torch(name, dtype, tolerance):
    own, plain = make_parameters(dtype), make_parameters(dtype)
    optimizer, plain_optimizer = make_optimizer(name, own, 1e-2, 0.7), PLAIN[name](plain)
    generator = torch.Generator().manual_seed(1)
    for update in range(50):
        for one, other in zip(own, plain, strict=True):
            gradient = torch.randn(one.shape, generator=generator, dtype=dtype)
            one.grad.copy_(gradient * 10.0 ** (update % 5 - 4))
            other.grad = one.grad.clone()
        optimizer.update()
        plain_optimizer.step()
        for one, other in zip(own, plain, strict=True):
            torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    assert optimizer.num_updates == 50


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_from_what_another_remembered(name):
    all_parameters = make_parameters()
    optimizer = make_optimizer(name, all_parameters, 1e-2, 0.7)
    for parameter in all_parameters:
        parameter.grad.copy_(torch.arange(parameter.numel()).view_as(parameter))
    optimizer.update()
    rows = torch.tensor([True, False, True])
    some = [parameter[rows].clone() for parameter in all_parameters]
    for one, other in zip(some, all_parameters, strict=True):
        one.grad = other.grad[rows].clone()
    rest = make_optimizer(name, some, 1e-2, 0.7)
    moments = {kind: [moment[rows] for moment in each] for kind, each in optimizer.moments.items()}
    rest.restore(optimizer.num_updates, moments)
    rest.update()
    optimizer.update()
    for one, other in zip(some, all_parameters, strict=True):
        torch.testing.assert_close(one, other[rows], rtol=1e-15, atol=0)
