// Two lanes in which the reader's own networks learn, in the page itself: one starts from small
// weights, the other from large ones. It illustrates; what is judged is judged in the notebooks.

const NUM_POINTS = 61, FINENESS = 4, MOST_FOLLOWED = 6, NUM_RECORDS = 240;
const NOTEBOOK = "notebooks/12_explorer.ipynb";

function makeGrid(length) {
  return Array.from({ length }, (_, i) => -Math.PI + (2 * Math.PI * i) / length);
}

// Returns what a worker is asked for, and the run that its records will make.
function prepare({ frequencies, amplitudes, noise, width, depth, steps, ...rest }, std, drawn) {
  const x = makeGrid(NUM_POINTS), curveX = makeGrid(FINENESS * NUM_POINTS), normal = makeNormal(1);
  const y = drawn ?? x.map((at) => frequencies.reduce(
    (sum, k, i) => sum + amplitudes[i] * Math.sin(k * at), noise * normal()));
  const targetAmplitudes = transform(y).map((pair) => Math.hypot(...pair));
  const highest = targetAmplitudes.map((_, k) => k).slice(1)
    .sort((a, b) => targetAmplitudes[b] - targetAmplitudes[a]).slice(0, MOST_FOLLOWED)
    .filter((k, _, [first]) => targetAmplitudes[k] > 0.1 * targetAmplitudes[first]);
  const bins = (drawn ? highest : [...new Set(frequencies)]).sort((a, b) => a - b);
  const marks = Array.from({ length: NUM_RECORDS },
    (_, i) => Math.round(steps ** (i / (NUM_RECORDS - 1))));
  const asked = { ...rest, std, x, y, curveX, bins, widths: Array(depth).fill(width),
    steps: [...new Set([0, ...marks])] };
  const run = { x, y, curveX, targetAmplitudes, frequencies: targetAmplitudes.map((_, k) => k),
    labels: bins.map(String), threshold: 0.2, steps: [], records: [] };
  return { asked, run };
}

// Returns the control to change and why, if there is nothing to train.
function findMistake({ frequencies, amplitudes }) {
  const most = (NUM_POINTS - 1) / 2;
  if (!frequencies.every((k) => Number.isInteger(k) && k >= 1 && k <= most)) {
    return ["frequencies", `Frequencies are whole numbers from 1 to ${most}, with commas between.`];
  }
  const isAllowed = amplitudes.length === frequencies.length && amplitudes.every((a) => a > 0);
  return isAllowed ? null : ["amplitudes", "There is one amplitude above 0 for each frequency."];
}

function makePapermillLine(values) {
  const parameters = { num_points: NUM_POINTS, noise_std: values.noise, init_std: values.small,
    target: values.frequencies.map((k, i) => [k, values.amplitudes[i]]),
    widths: Array(values.depth).fill(values.width), activation: values.activation,
    optimizer: values.optimizer, learning_rate: values.learningRate, num_steps: values.steps,
    num_seeds: values.numSeeds };
  return `papermill ${NOTEBOOK} 12_explorer.ipynb -y '${JSON.stringify(parameters)}'`;
}

function parseAddress() {
  const isNumbers = (text) => /^[\d.,e-]+$/.test(text);
  return Object.fromEntries([...new URLSearchParams(location.hash.slice(1))].map(
    ([name, text]) => [name, isNumbers(text) ? text.split(",").map(Number) : text]));
}

// The reader draws a target over the samples of a lane; `done` is called with it.
function letDraw(lane, done) {
  let drawn = null, last = null;
  const takePlace = (event) => {
    const { fit } = lane.player.view, share = (fit.xAt(event.offsetX) + Math.PI) / (2 * Math.PI);
    const place = Math.min(Math.max(Math.round(share * NUM_POINTS), 0), NUM_POINTS - 1);
    return [place, Math.min(Math.max(fit.yAt(event.offsetY), -3), 3)];
  };
  lane.section.addEventListener("pointerdown", (event) => {
    if (event.target !== lane.player.view.fit?.canvas) return;
    event.target.setPointerCapture(event.pointerId);
    [drawn, last] = [[...lane.run.y], takePlace(event)];
  });
  lane.section.addEventListener("pointermove", (event) => {
    if (!drawn) return;
    const [place, height] = takePlace(event), [before, from] = last, gap = Math.abs(place - before);
    for (let i = 0; i <= gap; i++) {
      const share = gap ? i / gap : 1;
      drawn[before + Math.sign(place - before) * i] = from + share * (height - from);
    }
    [last, lane.run.y] = [[place, height], drawn];
    lane.player.draw();
  });
  lane.section.addEventListener("pointerup", () => {
    if (drawn) done(drawn);
    drawn = null;
  });
}

// `about` has style, the source of trainer.js, controls, settings, and the notebook's address.
export function playLive(host, { style, trainer, controls, settings, binder }) {
  const root = makeRoot(host, style);
  const source = new Blob([trainer, "\nserve(self);"], { type: "text/javascript" });
  const address = URL.createObjectURL(source);
  let drawn = null, workers = [];
  const bar = add(root, "div", "bar");
  addButton(bar, "↻ Again", () => start()).className = "play";
  addButton(bar, "Copy link", () => navigator.clipboard.writeText(location.href));
  const open = add(bar, "a", "", "Open this experiment in the notebook");
  open.href = binder;
  const status = add(bar, "span", "", "Draw a target over the dots on the left.");
  status.setAttribute("role", "status");
  const both = add(root, "div", "lanes");
  const lanes = ["small", "large"].map((name) => [name, new Lane(both, "")]);
  const form = new Form(root, controls, () => {
    drawn = null;
    start();
  });
  const line = add(root, "pre");

  function start() {
    const values = form.read(), mistake = drawn ? null : findMistake(values);
    if (mistake) {
      status.textContent = mistake[1];
      form.complain(mistake[0]);
      return;
    }
    workers.forEach((worker) => worker.terminate());
    history.replaceState(null, "", `#${new URLSearchParams(values)}`);
    workers = lanes.map(([name, lane]) => {
      const { asked, run } = prepare(values, values[name], drawn);
      lane.heading.textContent = `Initial scale ${values[name]}`;
      lane.begin(run, asked.steps.at(-1));
      const worker = new Worker(address);
      worker.onmessage = ({ data: { steps, records } }) => lane.extend(steps, records);
      worker.postMessage(asked);
      return worker;
    });
    line.textContent = drawn ? "A drawn target has no line for the notebook."
      : makePapermillLine(values);
  }

  letDraw(lanes[0][1], (target) => {
    drawn = target;
    start();
  });
  form.write({ ...settings, ...parseAddress() });
  start();
}
