"""Neural tangent kernels, the trainings that they predict, and the linear frequency principle.

Gradient descent with step size eta on the mean squared error of N points, which is what `train`
does, changes the outputs f on these points, as long as the gradients of the network stay as they
are at the start, by

    f(t + 1) - y = (I - 2 eta K / N) (f(t) - y),   K(x, x') = grad f(x) . grad f(x'),

with K the neural tangent kernel (Jacot et al., arXiv 1806.07572; Lee et al., arXiv 1902.06720).
A network has one output here. All arrays are float64.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import torch

from fprin_utils.checks import (
    as_array,
    as_arrays,
    check_broadcast,
    check_choice,
    check_kind,
    check_list,
    check_number,
    check_whole,
    tell,
)
from fprin_utils.networks import Ensemble

# What can be trained in f(x) = sum_r a_r ReLU(w_r . x + b_r) + c: w, b, a and c.
PARTS = ("weights", "biases", "outer_weights", "outer_bias")


def compute_relu_kernel(
    inputs: np.ndarray,
    other_inputs: np.ndarray | None = None,
    *,
    width: int,
    weight_std: float,
    bias_std: float,
    outer_std: float,
    trained: Collection[str] = PARTS,
) -> np.ndarray:
    """Return the mean neural tangent kernel of f(x) = sum_r a_r ReLU(w_r . x + b_r) + c.

    The mean is over w ~ N(0, weight_std^2), b ~ N(0, bias_std^2), a ~ N(0, outer_std^2) of `width`
    neurons; as the width grows, the kernel of every network approaches it. With theta the angle
    between X = (weight_std x, bias_std) and X', it is width times the sum, over what is trained, of

        w: outer_std^2 x . x' (pi - theta) / 2 pi,       b: outer_std^2 (pi - theta) / 2 pi,
        a: |X| |X'| (sin theta + (pi - theta) cos theta) / 2 pi,

    and 1 for c (Cho and Saul 2009). On the circle, with width outer_std^2 = 1, bias_std = 0, and w
    and b trained, its eigenvalues (1 / 2 pi) int K(phi) exp(-i k phi) dphi are the c_k of Basri et
    al. (arXiv 1906.00425) for k >= 1, and twice c_0 for k = 0.

    Args:
        inputs: Points x, shape (N,) or (N, D).
        other_inputs: Points x', shape (M,) or (M, D); `inputs` if left out.
        width: Number of neurons.
        weight_std: Standard deviation of w, positive, up to 1e6.
        bias_std: Standard deviation of b, 0 or more, up to 1e6.
        outer_std: Standard deviation of a, 0 or more, up to 1e6.
        trained: Which of `PARTS` are trained.

    Returns:
        Kernel, shape (N, M).

    Raises:
        ValueError: If an argument is outside what is listed above.
    """
    x = _as_points("inputs", inputs)
    other = x if other_inputs is None else _as_points("other_inputs", other_inputs, x.shape[1])
    width = check_whole("width", width, least=1)
    wanted = "a positive number, up to 1e6"
    weight_std = check_number("weight_std", weight_std, wanted, lambda std: 0 < std <= 1e6)
    bias_std, outer_std = (
        check_number(name, std, "0 or more, up to 1e6", lambda std: 0 <= std <= 1e6)
        for name, std in (("bias_std", bias_std), ("outer_std", outer_std))
    )
    wanted = f"some of {', '.join(PARTS)}"
    trained = {
        check_choice("trained", part, PARTS)
        for part in check_list("trained", trained, object, wanted)
    }
    products = weight_std**2 * x @ other.T + bias_std**2
    lengths, other_lengths = (
        np.sqrt(weight_std**2 * (points**2).sum(axis=1) + bias_std**2) for points in (x, other)
    )
    scales = np.outer(lengths, other_lengths)
    # A neuron that sees nothing but 0 is never active; any angle will do.
    cosines = np.divide(products, scales, out=np.ones_like(scales), where=scales > 0)
    angles = np.arccos(np.clip(cosines, -1, 1))
    both_active = (np.pi - angles) / (2 * np.pi)
    kernel = np.zeros_like(scales)
    if "weights" in trained:
        kernel += width * outer_std**2 * (x @ other.T) * both_active
    if "biases" in trained:
        kernel += width * outer_std**2 * both_active
    if "outer_weights" in trained:
        kernel += width * (scales * np.sin(angles) / (2 * np.pi) + products * both_active)
    return kernel + ("outer_bias" in trained)


def compute_tangent_kernel(
    networks: Ensemble | torch.nn.Module,
    inputs: np.ndarray,
    other_inputs: np.ndarray | None = None,
) -> np.ndarray:
    """Return the neural tangent kernel of networks as they are, by automatic differentiation.

    K(x, x') is the sum over the parameters that require gradients of df(x)/dtheta df(x')/dtheta.

    Args:
        networks: An ensemble, or any torch.nn.Module that maps inputs (N, D) to outputs (N, 1).
        inputs: Points x, shape (N,) or (N, D).
        other_inputs: Points x', shape (M,) or (M, D); `inputs` if left out.

    Returns:
        Kernels, shape (S, N, M) for an ensemble of S networks, (N, M) for a module.

    Raises:
        ValueError: If an argument is outside what is listed above, or no parameter can be trained.
    """
    check_kind("networks", networks, torch.nn.Module, "an Ensemble or a torch.nn.Module")
    x = _as_points("inputs", inputs)
    other = None if other_inputs is None else _as_points("other_inputs", other_inputs, x.shape[1])
    if not isinstance(networks, Ensemble):
        return _multiply_gradients(networks, x, other)
    members = (networks.take([place]) for place in range(len(networks.seeds)))
    return np.stack([_multiply_gradients(member, x, other) for member in members])


def predict_training(
    kernel: np.ndarray,
    targets: np.ndarray,
    initial: np.ndarray,
    steps: Sequence[int],
    *,
    learning_rate: float,
    other_kernel: np.ndarray | None = None,
    other_initial: np.ndarray | None = None,
) -> np.ndarray:
    """Return the outputs that linearised gradient descent has after some steps.

    f(t) = y + (I - 2 eta K / N)^t (f(0) - y), by the eigenvectors of K; at other points x*,
    f*(t) = f*(0) - K* K^-1 (I - (I - 2 eta K / N)^t) (f(0) - y). This is the exact result of t
    discrete steps with a kernel that does not change, on the mean squared error that `train` uses.

    Args:
        kernel: K on the training points, symmetric, shape (N, N), or one for each of S networks,
            shape (S, N, N).
        targets: y, shape (N,), or (S, N).
        initial: f(0), outputs before the training, shape (N,), or (S, N).
        steps: Numbers of steps t, length R.
        learning_rate: eta.
        other_kernel: K* between other points and the training points, shape (M, N) or (S, M, N).
        other_initial: f*(0) at the other points, shape (M,) or (S, M); both or none of these two.

    Returns:
        Outputs on the training points, or on the others where they are given: shape (R, N) or
        (R, S, N), with M for N.

    Raises:
        ValueError: If shapes do not fit, or the linearised training diverges: 2 eta / N times the
            largest eigenvalue must be at most 2.
    """
    known: dict[str, tuple[int, str]] = {}
    kernel = as_array("kernel", kernel, "(..., N, N)", known=known)
    targets = as_array("targets", targets, "(..., N)", known=known)
    initial = as_array("initial", initial, "(..., N)", known=known)
    check_broadcast(kernel=kernel[..., 0], targets=targets, initial=initial)
    steps = [
        check_whole("one of steps", step) for step in check_list("steps", steps, object, "steps")
    ]
    learning_rate = check_number(
        "learning_rate", learning_rate, "a positive number", lambda rate: rate > 0
    )
    if not np.allclose(kernel, np.swapaxes(kernel, -1, -2), rtol=1e-4, atol=0):
        raise ValueError("kernel is not symmetric")
    eigenvalues, vectors = np.linalg.eigh(kernel)
    rates = 2 * learning_rate / kernel.shape[-1] * eigenvalues.clip(min=0)
    if (rates > 2).any():
        raise ValueError(
            f"learning_rate is {learning_rate:g}; with this kernel the linearised training "
            f"diverges above {learning_rate * 2 / rates.max():.4g}"
        )
    left = np.einsum("...ij,...i->...j", vectors, initial - targets)
    shrunk = np.array([(1 - rates) ** step * left for step in steps])
    if other_kernel is None and other_initial is None:
        return targets + np.einsum("...ij,r...j->r...i", vectors, shrunk)
    if other_kernel is None or other_initial is None:
        raise ValueError("other_kernel and other_initial are given both or not at all")
    other_kernel = as_array("other_kernel", other_kernel, "(..., M, N)", known=known)
    other_initial = as_array("other_initial", other_initial, "(..., M)", known=known)
    check_broadcast(other_kernel=other_kernel[..., 0], other_initial=other_initial)
    # (1 - (1 - r)^t) / r, which is t where the eigenvalue is 0.
    times = np.array([[step] for step in steps]).reshape(-1, *[1] * rates.ndim)
    learnt = np.where(rates > 0, (left - shrunk) / np.where(rates > 0, rates, 1), times * left)
    moved = np.einsum("...ij,r...j->r...i", vectors, 2 * learning_rate / kernel.shape[-1] * learnt)
    return other_initial - np.einsum("...mi,r...i->r...m", other_kernel, moved)


def interpolate_by_lfp(
    points: np.ndarray,
    values: np.ndarray,
    other_points: np.ndarray,
    *,
    cubic: float,
    linear: float,
) -> np.ndarray:
    """Return what the linear frequency principle (LFP) says that a wide ReLU network learns.

    In the LFP model of Luo, Zhang et al. (arXiv 1905.10264) a network f(x) = sum_r a_r
    ReLU(w_r x + b_r) of one input whose biases are spread widely, trained to the end on samples,
    becomes the interpolant h with the least int |h^(xi)|^2 / g(xi) dxi, with xi in cycles per
    unit of x and

        g(xi) = <|w|^3> / (16 pi^4 xi^4) + <a^2 |w|> / (4 pi^2 xi^2),

    the means being over the neurons at the start; a term with the gradient of h^ is left out, as
    in the authors' public code. The inverse transform of g is k(x) = <|w|^3> |x|^3 / 12 -
    <a^2 |w|> |x| / 2, so that h(x) = sum_i c_i k(x - x_i) + d + e x with sum c_i = sum c_i x_i = 0:
    the natural cubic spline where `linear` is 0, and the linear one where `cubic` is.

    Args:
        points: Different points x_i, shape (N,), N at least 2.
        values: Samples at them, shape (N,).
        other_points: Points x at which h is wanted, shape (M,).
        cubic: <|w|^3>, 0 or more.
        linear: <a^2 |w|>, 0 or more; not both may be 0.

    Returns:
        h at the other points, shape (M,).

    Raises:
        ValueError: If an argument is outside what is listed above.
    """
    points, values = as_arrays("(N,) (N,)", points=points, values=values)
    other_points = as_array("other_points", other_points, "(M,)")
    cubic, linear = (
        check_number(name, weight, "0 or more", lambda weight: weight >= 0)
        for name, weight in (("cubic", cubic), ("linear", linear))
    )
    if len(np.unique(points)) < max(len(points), 2):
        raise ValueError(f"points is {tell(points)}; they must be 2 or more, all different")
    if not cubic + linear:
        raise ValueError("cubic and linear are both 0; one of them must be positive")
    center, scale = points.mean(), np.ptp(points)
    points, other_points = (points - center) / scale, (other_points - center) / scale
    # In units of the range of the points; only the ratio of the two weights matters.
    weights = np.array([cubic * scale**2, linear]) / max(cubic * scale**2, linear)

    def make_rows(places: np.ndarray) -> np.ndarray:
        distances = np.abs(places[:, None] - points)
        kernel = weights[0] * distances**3 / 12 - weights[1] * distances / 2
        return np.concatenate([kernel, np.ones_like(places)[:, None], places[:, None]], axis=1)

    rows = make_rows(points)
    system = np.concatenate([rows, np.pad(rows[:, -2:].T, ((0, 0), (0, 2)))])
    return make_rows(other_points) @ np.linalg.solve(system, np.append(values, [0, 0]))


def _as_points(name: str, inputs: np.ndarray, num_inputs: int | None = None) -> np.ndarray:
    """Return points of shape (N, D)."""
    points = as_array(name, inputs)
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or not points.size or num_inputs not in (None, points.shape[-1]):
        wanted = "(N,) or (N, D)" if num_inputs is None else f"(M, {num_inputs}), as inputs"
        raise ValueError(f"{name} has shape {np.shape(inputs)}; it must be {wanted}")
    return points


def _multiply_gradients(
    network: torch.nn.Module, inputs: np.ndarray, other_inputs: np.ndarray | None
) -> np.ndarray:
    """Return the kernel of one network, shape (N, M)."""
    parameters = {
        name: parameter.detach()
        for name, parameter in network.named_parameters()
        if parameter.requires_grad
    }
    if not parameters:
        raise ValueError(f"networks is {tell(network)}; it has no parameters to train")

    def evaluate(parameters: dict[str, torch.Tensor], point: torch.Tensor) -> torch.Tensor:
        outputs = torch.func.functional_call(network, parameters, (point[None],))
        if outputs.numel() != 1:
            raise ValueError(f"networks give outputs of shape {tuple(outputs.shape)} for one point")
        return outputs.reshape(())

    differentiate = torch.func.vmap(torch.func.jacrev(evaluate), in_dims=(None, 0))

    def list_gradients(points: np.ndarray) -> np.ndarray:
        first = next(iter(parameters.values()))
        tensor = torch.as_tensor(points.copy(), dtype=first.dtype, device=first.device)
        gradients = differentiate(parameters, tensor).values()
        return torch.cat([each.flatten(1) for each in gradients], dim=1).double().cpu().numpy()

    gradients = list_gradients(inputs)
    return gradients @ (gradients if other_inputs is None else list_gradients(other_inputs)).T
