// Two lanes in which networks of the reader's own learn, in the page itself.

const NUM_POINTS = 61, FINENESS = 4, MOST_FOLLOWED = 6, NUM_RECORDS = 240;

function makeGrid(length) {
  return Array.from({ length }, (_, i) => -Math.PI + (2 * Math.PI * i) / length);
}

// What the worker is asked for, and the run that its records will make.
function describe({ frequencies, amplitudes, noise, drawn, width, depth, steps, ...rest }) {
  const x = makeGrid(NUM_POINTS), normal = makeNormal(1);
  const y = drawn ?? x.map((at) => noise * normal()
    + frequencies.reduce((sum, k, i) => sum + (amplitudes[i] ?? 1) * Math.sin(k * at), 0));
  const targetAmplitudes = transform(y).map((pair) => Math.hypot(...pair));
  const byHeight = targetAmplitudes.map((height, k) => [height, k]).slice(1).sort((a, b) => b[0] - a[0]);
  const highest = byHeight.slice(0, MOST_FOLLOWED).filter(([height]) => height > 0.1 * byHeight[0][0]);
  const bins = (drawn ? highest.map(([, k]) => k) : [...new Set(frequencies)]).sort((a, b) => a - b);
  const curveX = makeGrid(FINENESS * NUM_POINTS);
  const marks = Array.from({ length: NUM_RECORDS }, (_, i) => Math.round(steps ** (i / (NUM_RECORDS - 1))));
  const asked = { ...rest, widths: Array(depth).fill(width), x, y, curveX, bins,
    steps: [...new Set([0, ...marks])] };
  const run = { x, y, curveX, frequencies: targetAmplitudes.map((_, k) => k), targetAmplitudes,
    labels: bins.map(String), threshold: 0.2, steps: [], records: [] };
  return { asked, run };
}

function complainOf({ frequencies, amplitudes }) {
  const most = Math.floor((NUM_POINTS - 1) / 2);
  if (!frequencies.length || !frequencies.every((k) => Number.isInteger(k) && k >= 1 && k <= most)) {
    return ["frequencies", `Frequencies are whole numbers from 1 to ${most}.`];
  }
  const isAllowed = amplitudes.length === frequencies.length
    && amplitudes.every((a) => Number.isFinite(a) && a > 0);
  return isAllowed ? null : ["amplitudes", "There is one amplitude above 0 for each frequency."];
}

// Two lanes that differ in the initial scale and run by themselves. `about` has style, the source of
// `trainer.js`, controls, settings, and the address of the notebook on Binder.
export function playLive(host, { style, trainer, controls, settings, binder }) {
  const root = makeRoot(host, style), source = new Blob([trainer, "\nserve(self);"]);
  const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const parse = (text) => Object.fromEntries([...new URLSearchParams(text)].map(
    ([name, value]) => [name, /^[\d., -]+$/.test(value) ? value.split(",").map(Number) : value]));
  let drawn = null, workers = [];
  const form = new Form(root, controls, () => {
    drawn = null;
    start();
  });
  form.write({ ...settings, ...parse(location.hash.slice(1)) });
  const bar = add(root, "div", "bar");
  addButton(bar, "↻ Again", () => start()).className = "play";
  addButton(bar, "Copy link", () => navigator.clipboard.writeText(location.href));
  const open = add(bar, "a", "", "Open this experiment in the notebook");
  open.href = binder;
  const status = add(bar, "span");
  status.setAttribute("role", "status");
  const line = add(root, "pre");
  const both = add(root, "div", "lanes");
  const lanes = ["std", "other"].map((name) => [name, new Lane(both, "")]);

  function start() {
    const values = form.read(), complaint = drawn ? null : complainOf(values);
    status.textContent = complaint?.[1] ?? "";
    if (complaint) return form.complain(complaint[0]);
    workers.forEach((worker) => worker.terminate());
    history.replaceState(null, "", `#${new URLSearchParams(values)}`);
    workers = lanes.map(([name, lane]) => {
      const { asked, run } = describe({ ...values, drawn, std: values[name] });
      lane.heading.textContent = `Initial weights of standard deviation ${values[name]}`;
      lane.begin(run, asked.steps.at(-1));
      const worker = new Worker(address);
      worker.onmessage = ({ data: { steps, records } }) => lane.extend(steps, records);
      worker.postMessage(asked);
      return worker;
    });
    line.textContent = drawn ? "A target that was drawn has no line for the notebook."
      : makePapermillLine(values);
  }

  // The reader draws a target over the first lane's samples.
  const { view } = lanes[0][1].player;
  let pencil = null;
  root.addEventListener("pointerdown", (event) => {
    if (event.target !== view.fit?.canvas) return;
    pencil = [...lanes[0][1].run.y];
  });
  root.addEventListener("pointermove", (event) => {
    if (!pencil) return;
    const { fit } = view, place = Math.round((fit.xAt(event.offsetX) + Math.PI) / (2 * Math.PI) * NUM_POINTS);
    if (place in pencil) pencil[place] = fit.yAt(event.offsetY);
    lanes[0][1].run.y = pencil;
  });
  root.addEventListener("pointerup", () => {
    if (pencil) [drawn, pencil] = [pencil, null], start();
  });
  start();
}

function makePapermillLine({ frequencies, amplitudes, noise, std, width, depth, activation, optimizer, learningRate, steps, numSeeds }) {
  const parameters = { target: frequencies.map((k, i) => [k, amplitudes[i]]), noise_std: noise,
    num_points: NUM_POINTS, widths: Array(depth).fill(width), activation, init_std: std, optimizer,
    learning_rate: learningRate, num_steps: steps, num_seeds: numSeeds };
  return `papermill notebooks/12_explorer.ipynb 12_explorer.ipynb -y '${JSON.stringify(parameters)}'`;
}
