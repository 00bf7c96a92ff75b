"""Tests of the networks that are trained in the page, against those of the package."""

import numpy as np
import pytest
import torch

import fprin_utils as fp
from fprin_utils.play.pages import read_source

SOURCE = read_source("trainer.js") + "\nexport { Network, record, transform };"
GRID = fp.make_grid(30)
TARGET = fp.make_sinusoids(GRID, [1, 4], [1.0, 0.5])
WIDTHS = [9, 7, 5]
NUM_STEPS = 50

TRAIN = """async ([source, {widths, activation, layers, x, y, optimizer, rate, numSteps}]) => {
    const module = new Blob([source], {type: "text/javascript"});
    const {Network} = await import(URL.createObjectURL(module));
    const network = new Network(widths, activation, layers), losses = [];
    let gradients;
    for (let step = 0; step <= numSteps; step++) {
        losses.push(network.differentiate(x, y));
        gradients ??= network.layers.map(layer => layer.map(({gradient}) => [...gradient]));
        network.update(optimizer, rate);
    }
    return {losses, gradients};
}"""


@pytest.fixture(scope="module")
def page(browser):
    page = browser.new_page()
    page.goto("about:blank")
    yield page
    page.close()


@pytest.mark.parametrize("activation", ["tanh", "relu", "sin"])
@pytest.mark.parametrize(("optimizer", "rate"), [("adam", 5e-3), ("gradient_descent", 0.1)])
def test_losses_and_gradients_are_those_of_the_package(page, activation, optimizer, rate):
    networks = fp.Ensemble(
        WIDTHS, seeds=[3], activation=activation, init_std=0.5, dtype=torch.float64
    )
    layers = [
        [weight[0].detach().T.flatten().tolist(), bias[0].detach().flatten().tolist()]
        for weight, bias in zip(networks.weights, networks.biases, strict=True)
    ]
    inputs, targets = torch.tensor(GRID)[:, None], torch.tensor(TARGET)[:, None]
    (networks(inputs)[0] - targets).square().mean().backward()
    gradients = [
        [weight.grad[0].T.flatten().numpy(), bias.grad[0].flatten().numpy()]
        for weight, bias in zip(networks.weights, networks.biases, strict=True)
    ]
    options = {"learning_rate": rate, "optimizer": optimizer, "progress": False}
    run = fp.train(
        networks, GRID, TARGET, num_steps=NUM_STEPS, record_at=range(NUM_STEPS + 1), **options
    )
    asked = {
        "widths": [1, *WIDTHS, 1],
        "activation": activation,
        "layers": layers,
        "x": GRID.tolist(),
        "y": TARGET.tolist(),
        "optimizer": optimizer,
        "rate": rate,
        "numSteps": NUM_STEPS,
    }
    made = page.evaluate(TRAIN, [SOURCE, asked])
    np.testing.assert_allclose(made["losses"], run.losses[:, 0], rtol=1e-5)
    assert run.losses[-1, 0] < 0.9 * run.losses[0, 0]
    for ours, theirs in zip(made["gradients"], gradients, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-12)


def test_two_networks_take_250_steps_a_second(page):
    rate = page.evaluate(
        """async source => {
            const {Network} = await import(
                URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
            const x = Array.from({length: 61}, (_, i) => -Math.PI + 2 * Math.PI * i / 61);
            const y = x.map(Math.sin), networks = [0, 1].map(
                seed => Network.draw([1, 64, 64, 1], "tanh", 0.1, seed));
            const run = numSteps => {
                const started = performance.now();
                for (let step = 0; step < numSteps; step++) {
                    for (const network of networks) {
                        network.differentiate(x, y);
                        network.update("adam", 1e-3);
                    }
                }
                return numSteps / (performance.now() - started) * 1000;
            };
            run(100);
            return Math.max(...Array.from({length: 12}, () => run(50)));
        }""",
        SOURCE,
    )
    assert rate > 250


def test_spectra_and_summaries_are_those_of_numpy(page):
    made = page.evaluate(
        """async ([source, asked]) => {
            const {Network, record, transform} = await import(
                URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
            const networks = [0, 1, 2].map(seed => Network.draw([1, 6, 1], "tanh", 1, seed));
            return {record: record(networks, asked), spectrum: transform(asked.y),
                    outputs: networks.map(network => [...network.evaluate(asked.x)])};
        }""",
        [
            SOURCE,
            {"x": GRID.tolist(), "y": TARGET.tolist(), "curveX": GRID.tolist(), "bins": [1, 4]},
        ],
    )
    spectrum = fp.compute_spectrum(TARGET)
    np.testing.assert_allclose(np.array(made["spectrum"]) @ [1, 1j], spectrum, atol=1e-12)
    outputs = np.array(made["outputs"])
    assert len({tuple(row) for row in outputs.round(6)}) == 3
    found = made["record"]
    for name, values in (
        ("curves", outputs),
        ("amplitudes", np.abs(fp.compute_spectrum(outputs))),
    ):
        wanted = [np.median(values, axis=0), values.min(axis=0), values.max(axis=0)]
        np.testing.assert_allclose(found[name], np.concatenate(wanted), atol=1e-12)
    errors = fp.measure_convergence([0], outputs[None], TARGET, bins=[1, 4]).errors[0]
    np.testing.assert_allclose(found["errors"], np.median(errors, axis=0), rtol=1e-9)
