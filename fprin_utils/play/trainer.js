// Networks that are trained in the reader's own browser, in a worker, as the package trains them:
// one input, one output, full batches, the mean squared error. It illustrates; what is measured and
// judged is measured in the notebooks.

const ACTIVATIONS = {
  // Math.tanh takes several times as long.
  tanh: { value: (z) => 1 - 2 / (Math.exp(2 * z) + 1), slope: (z, h) => 1 - h * h },
  relu: { value: (z) => Math.max(z, 0), slope: (z) => (z > 0 ? 1 : 0) },
  sin: { value: Math.sin, slope: Math.cos },
};
const MILLISECONDS_BETWEEN_REPORTS = 30;

// Numbers from a standard normal distribution, by Box and Muller from the generator mulberry32.
function makeNormal(seed) {
  let state = seed | 0;
  const draw = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(1 - draw())) * Math.cos(2 * Math.PI * draw());
}

function transpose(values, rows, columns) {
  const turned = new Float64Array(values.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) turned[c * rows + r] = values[r * columns + c];
  }
  return turned;
}

// The product of a matrix and another one's transpose. Two rows by four columns at a time, with sums
// that stay in registers, take a third of the time; at the edges some are computed twice.
function multiply(one, other, rows, columns, inner) {
  const product = new Float64Array(rows * columns);
  for (let r = 0; r < rows; r += 2) {
    const r1 = Math.min(r + 1, rows - 1), p0 = r * inner, p1 = r1 * inner;
    for (let c = 0; c < columns; c += 4) {
      const c1 = Math.min(c + 1, columns - 1), c2 = Math.min(c + 2, columns - 1);
      const c3 = Math.min(c + 3, columns - 1);
      const q0 = c * inner, q1 = c1 * inner, q2 = c2 * inner, q3 = c3 * inner;
      let s0 = 0, s1 = 0, s2 = 0, s3 = 0, t0 = 0, t1 = 0, t2 = 0, t3 = 0;
      for (let k = 0; k < inner; k++) {
        const upper = one[p0 + k], lower = one[p1 + k];
        const v0 = other[q0 + k], v1 = other[q1 + k], v2 = other[q2 + k], v3 = other[q3 + k];
        s0 += upper * v0;
        s1 += upper * v1;
        s2 += upper * v2;
        s3 += upper * v3;
        t0 += lower * v0;
        t1 += lower * v1;
        t2 += lower * v2;
        t3 += lower * v3;
      }
      const upper = r * columns, lower = r1 * columns;
      product[upper + c3] = s3;
      product[upper + c2] = s2;
      product[upper + c1] = s1;
      product[upper + c] = s0;
      product[lower + c3] = t3;
      product[lower + c2] = t2;
      product[lower + c1] = t1;
      product[lower + c] = t0;
    }
  }
  return product;
}

// A parameter is {value, gradient, mean, square}: the last two are Adam's.
function makeParameter(value) {
  return { value, mean: new Float64Array(value.length), square: new Float64Array(value.length) };
}

class Network {
  // `widths` from the input's to the output's; `layers` as [weights, biases], the weights row by row
  // for each output, as in torch.nn.Linear.
  constructor(widths, activation, layers) {
    this.widths = widths;
    this.activation = ACTIVATIONS[activation];
    this.layers = layers.map((pair) => pair.map((values) => makeParameter(Float64Array.from(values))));
    this.numSteps = 0;
  }

  static draw(widths, activation, std, seed) {
    const normal = makeNormal(seed + 1);
    const draw = (length) => Float64Array.from({ length }, () => std * normal());
    const layers = widths.slice(1).map((width, l) => [draw(widths[l] * width), draw(width)]);
    return new Network(widths, activation, layers);
  }

  // Returns the outputs at points, and keeps arguments and values of every layer, a row a point.
  evaluate(xs) {
    this.hidden = [Float64Array.from(xs)];
    this.arguments = [];
    this.layers.forEach(([weights, biases], l) => {
      const [inputs, width] = [this.widths[l], this.widths[l + 1]];
      const z = multiply(this.hidden[l], weights.value, xs.length, width, inputs);
      for (let n = 0; n < xs.length; n++) {
        for (let j = 0; j < width; j++) z[n * width + j] += biases.value[j];
      }
      const h = l < this.layers.length - 1 ? new Float64Array(z.length) : z;
      if (h !== z) for (let i = 0; i < z.length; i++) h[i] = this.activation.value(z[i]);
      this.arguments.push(z);
      this.hidden.push(h);
    });
    return this.hidden.at(-1);
  }

  // Computes the gradients of the mean squared error by the chain rule; returns the error.
  differentiate(xs, ys) {
    const outputs = this.evaluate(xs), numPoints = xs.length;
    let delta = outputs.map((output, n) => (2 * (output - ys[n])) / numPoints);
    for (let l = this.layers.length - 1; l >= 0; l--) {
      const [inputs, width] = [this.widths[l], this.widths[l + 1]], below = this.hidden[l];
      const [weights, biases] = this.layers[l], turned = transpose(delta, numPoints, width);
      const points = transpose(below, numPoints, inputs);
      weights.gradient = multiply(turned, points, width, inputs, numPoints);
      biases.gradient = multiply(turned, new Float64Array(numPoints).fill(1), width, 1, numPoints);
      if (l === 0) break;
      const flowing = multiply(delta, transpose(weights.value, width, inputs), numPoints, inputs, width);
      const z = this.arguments[l - 1], { slope } = this.activation;
      for (let i = 0; i < z.length; i++) flowing[i] *= slope(z[i], below[i]);
      delta = flowing;
    }
    return outputs.reduce((sum, output, n) => sum + (output - ys[n]) ** 2, 0) / numPoints;
  }

  // Takes a step of Adam, with PyTorch's constants, or of gradient descent.
  update(optimizer, learningRate) {
    this.numSteps += 1;
    const [first, second] = [1 - 0.9 ** this.numSteps, 1 - 0.999 ** this.numSteps];
    for (const { value, gradient, mean, square } of this.layers.flat()) {
      for (let i = 0; i < value.length; i++) {
        const slope = gradient[i];
        if (optimizer === "gradient_descent") {
          value[i] -= learningRate * slope;
        } else {
          mean[i] += 0.1 * (slope - mean[i]);
          square[i] += 0.001 * (slope * slope - square[i]);
          value[i] -= (learningRate / first) * mean[i] / (Math.sqrt(square[i] / second) + 1e-8);
        }
      }
    }
  }
}

// Coefficients (1/n) sum y exp(-2 pi i k n / N), real and imaginary part, for k up to N / 2.
function transform(ys) {
  return Array.from({ length: Math.floor(ys.length / 2) + 1 }, (_, k) => {
    let [real, imaginary] = [0, 0];
    ys.forEach((y, n) => {
      const angle = (2 * Math.PI * k * n) / ys.length;
      real += (y * Math.cos(angle)) / ys.length;
      imaginary -= (y * Math.sin(angle)) / ys.length;
    });
    return [real, imaginary];
  });
}

// Median, least and largest of several rows, place by place, one after the other.
function summarise(rows) {
  if (rows.length === 1) return rows[0];
  const sorted = Array.from(rows[0], (_, i) => rows.map((row) => row[i]).sort((a, b) => a - b));
  const half = (rows.length - 1) / 2;
  const median = sorted.map((each) => (each[Math.floor(half)] + each[Math.ceil(half)]) / 2);
  return [...median, ...sorted.map((each) => each[0]), ...sorted.map((each) => each.at(-1))];
}

// What `player.js` shows of networks at a moment.
function record(networks, { x, y, curveX, bins }) {
  const wanted = transform(y), spectra = networks.map((network) => transform([...network.evaluate(x)]));
  const errors = spectra.map((spectrum) => bins.map((k) => Math.hypot(
    spectrum[k][0] - wanted[k][0], spectrum[k][1] - wanted[k][1]) / Math.hypot(...wanted[k])));
  return {
    curves: summarise(networks.map((network) => network.evaluate(curveX))),
    amplitudes: summarise(spectra.map((spectrum) => spectrum.map((pair) => Math.hypot(...pair)))),
    errors: summarise(errors).slice(0, bins.length),
  };
}

// Trains as a message asks, and posts the records as they come.
function serve(scope) {
  scope.onmessage = ({ data: asked }) => {
    const { widths, activation, std, numSeeds, x, y, optimizer, learningRate } = asked;
    const networks = Array.from({ length: numSeeds },
      (_, seed) => Network.draw([1, ...widths, 1], activation, std, seed));
    const last = asked.steps.at(-1), marked = new Set(asked.steps);
    let step = 0;
    const work = () => {
      const [steps, records, until] = [[], [], performance.now() + MILLISECONDS_BETWEEN_REPORTS];
      for (; step <= last && performance.now() < until; step++) {
        if (marked.has(step)) {
          steps.push(step);
          records.push(record(networks, asked));
        }
        for (const network of networks) {
          network.differentiate(x, y);
          network.update(optimizer, learningRate);
        }
      }
      scope.postMessage({ steps, records });
      if (step <= last) setTimeout(work, 0);
    };
    work();
  };
}
