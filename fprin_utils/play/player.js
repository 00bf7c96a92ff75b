// A training that moves: what networks have learnt, its spectrum, the error of each frequency.
//
// Stored runs (in notebooks and pages) and runs that are under way (the explorer, networks in the
// page) are shown by this one module, which asks no other file or host for anything.
//
// A run is {name, steps, x, y, curveX, frequencies, targetAmplitudes, labels, threshold, records}.
// Of a record, {curves, amplitudes, errors}, the first two are medians over the seeds, then the
// least and the largest values if there are several seeds; errors are medians. A run on a picture
// has its `size` instead of x and curveX: y and curves are grey values, row by row.

const BLUE = "0, 114, 178";
const MILLISECONDS_A_RECORD = 33, MILLISECONDS_BETWEEN_WORDS = 2000;
const LEFT = 52, RIGHT = 10, TOP = 8, BOTTOM = 38;
const LEAST_STEP = 0.8; // where step 0 stands on a logarithmic axis
const MOST_LISTED = 6;
// ColorBrewer's RdBu, as in the figures: red is learnt.
const RED_TO_BLUE = [
  [103, 0, 31], [178, 24, 43], [214, 96, 77], [244, 165, 130], [253, 219, 199], [247, 247, 247],
  [209, 229, 240], [146, 197, 222], [67, 147, 195], [33, 102, 172], [5, 48, 97],
];

// What a page in Chinese says instead.
const CHINESE = {
  "what the network has learnt": "网络学到的图像", "what is missing": "尚缺的部分",
  "what the networks have learnt": "网络学到的函数", "its spectrum": "频谱",
  "error of each frequency: red is learnt": "各频率的误差：红色为已学会",
  "cycles per picture": "每幅图像的周期数", "frequency index k": "频率序号 k", x: "x",
  "▶ Play": "▶ 播放", "❚❚ Pause": "❚❚ 暂停", step: "步数", "step {0}": "第 {0} 步",
  "{0} (step {1})": "{0}（第 {1} 步）", "{0}, at step {1}": "{0}，第 {1} 步",
  "{0} of {1} frequencies": "{1} 个频率中的 {0} 个",
  "Nothing is learnt yet.": "尚未学会任何频率。", "Learnt so far: {0}.": "已学会：{0}。",
};

function say(text, ...values) {
  const said = document.documentElement.lang.startsWith("zh") ? CHINESE[text] : text;
  return said.replace(/\{(\d)\}/g, (_, place) => values[place]);
}

function add(parent, name, className = "", text = "") {
  const element = parent.appendChild(document.createElement(name));
  element.className = className;
  element.textContent = text;
  return element;
}

function addButton(parent, text, act) {
  const button = add(parent, "button", "", text);
  button.type = "button";
  button.onclick = act;
  return button;
}

function format(value) {
  return value.toLocaleString("en", { maximumSignificantDigits: value < 1000 ? 3 : 6 });
}

function mixColor(error) {
  const place = Math.min(Math.max(error, 0), 1) * (RED_TO_BLUE.length - 1);
  const below = Math.min(Math.floor(place), RED_TO_BLUE.length - 2);
  const mixed = RED_TO_BLUE[below].map(
    (value, i) => value + (place - below) * (RED_TO_BLUE[below + 1][i] - value));
  return `rgb(${mixed.map(Math.round)})`;
}

function chooseTicks(least, most) {
  const power = 10 ** Math.floor(Math.log10((most - least) / 4));
  const step = [1, 2, 5, 10].map((digit) => digit * power).find((s) => s >= (most - least) / 4);
  const first = Math.ceil(least / step), count = Math.floor(most / step) - first + 1;
  return Array.from({ length: count }, (_, i) => (first + i) * step);
}

// Axes on a canvas: positions go through X and Y to pixels, and back through xAt and yAt.
class Panel {
  constructor(parent, title, xLabel) {
    this.figure = add(parent, "figure");
    this.title = add(this.figure, "figcaption", "", say(title)).textContent;
    this.canvas = add(this.figure, "canvas");
    this.canvas.setAttribute("role", "img");
    this.xLabel = say(xLabel);
  }

  clear(shape) {
    const ratio = devicePixelRatio || 1, context = this.context = this.canvas.getContext("2d");
    const width = this.figure.clientWidth, height = Math.round(width * shape);
    if (this.canvas.width !== Math.round(width * ratio)) {
      this.canvas.width = Math.round(width * ratio);
      this.canvas.height = Math.round(height * ratio);
      this.canvas.style.height = `${height}px`;
    }
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    this.ink = context.fillStyle = context.strokeStyle = getComputedStyle(this.figure).color;
    [this.right, this.bottom] = [width - RIGHT, height - BOTTOM];
  }

  begin([xLeast, xMost], [yLeast, yMost], { isLog = false, rows = null } = {}) {
    this.clear(0.55);
    const { context, right, bottom } = this;
    const [forth, back] = isLog ? [Math.log10, (u) => 10 ** u] : [(u) => u, (u) => u];
    const start = forth(xLeast), scale = (right - LEFT) / (forth(xMost) - start);
    this.X = (x) => LEFT + (forth(x) - start) * scale;
    this.xAt = (pixel) => back(start + (pixel - LEFT) / scale);
    this.Y = (y) => bottom - (y - yLeast) / (yMost - yLeast) * (bottom - TOP);
    this.yAt = (pixel) => yLeast + (bottom - pixel) / (bottom - TOP) * (yMost - yLeast);
    context.font = "12px system-ui, sans-serif";
    context.lineWidth = 1;
    context.strokeRect(LEFT, TOP, right - LEFT, bottom - TOP);
    [context.textAlign, context.textBaseline] = ["center", "top"];
    const decades = Array.from({ length: 8 }, (_, i) => 10 ** i);
    const xTicks = isLog ? decades : chooseTicks(xLeast, xMost);
    for (const x of xTicks.filter((each) => xLeast <= each && each <= xMost)) {
      context.fillRect(this.X(x) - 0.5, bottom, 1, 4);
      context.fillText(format(x), this.X(x), bottom + 6);
    }
    context.fillText(this.xLabel, (LEFT + right) / 2, bottom + 22);
    [context.textAlign, context.textBaseline] = ["right", "middle"];
    const every = rows && Math.ceil(rows.length / 12);
    const yTicks = rows ? rows.map((row, i) => [i + 0.5, row]).filter((_, i) => i % every === 0)
      : chooseTicks(yLeast, yMost).map((y) => [y, format(y)]);
    for (const [y, name] of yTicks) {
      context.fillRect(LEFT - 4, this.Y(y) - 0.5, 4, 1);
      context.fillText(name, LEFT - 6, this.Y(y));
    }
    context.save();
    context.beginPath();
    context.rect(LEFT, TOP, right - LEFT, bottom - TOP);
    context.clip();
  }

  drawBand(xs, values) {
    const { context } = this, n = xs.length;
    if (values.length > n) {
      context.fillStyle = `rgba(${BLUE}, 0.3)`;
      context.beginPath();
      for (let i = 0; i < n; i++) context.lineTo(this.X(xs[i]), this.Y(values[n + i]));
      for (let i = n - 1; i >= 0; i--) context.lineTo(this.X(xs[i]), this.Y(values[2 * n + i]));
      context.fill();
    }
    [context.strokeStyle, context.lineWidth] = [`rgb(${BLUE})`, 2.5];
    context.beginPath();
    for (let i = 0; i < n; i++) context.lineTo(this.X(xs[i]), this.Y(values[i]));
    context.stroke();
  }

  drawDots(xs, ys) {
    this.context.fillStyle = this.ink;
    for (let i = 0; i < xs.length; i++) {
      this.context.beginPath();
      this.context.arc(this.X(xs[i]), this.Y(ys[i]), 2.3, 0, 2 * Math.PI);
      this.context.fill();
    }
    this.context.restore();
  }

  // Draws grey values, 0 black and 1 white, as a square.
  drawPicture(values, size) {
    this.clear(1);
    const pixels = new ImageData(size, size), small = new OffscreenCanvas(size, size);
    values.forEach((value, i) => pixels.data.set([0, 1, 2].map(() => 255 * value), 4 * i));
    for (let i = 3; i < pixels.data.length; i += 4) pixels.data[i] = 255;
    small.getContext("2d").putImageData(pixels, 0, 0);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(small, 0, 0, this.figure.clientWidth, this.figure.clientWidth);
  }
}

// The panels of a run at one record, and the sentence above them.
class View {
  constructor(parent) {
    this.told = add(parent, "p", "told");
    this.panels = add(parent, "div", "panels");
    this.spoken = add(parent, "p", "spoken");
    this.spoken.setAttribute("role", "status");
    this.lastSpoken = -MILLISECONDS_BETWEEN_WORDS;
  }

  makePanels(isPicture) {
    this.isPicture = isPicture;
    this.panels.replaceChildren();
    this.panels.classList.toggle("picture", isPicture);
    const [titles, unit] = isPicture
      ? [["what the network has learnt", "what is missing"], "cycles per picture"]
      : [["what the networks have learnt"], "frequency index k"];
    [this.fit, this.missing] = titles.map((title) => new Panel(this.panels, title, "x"));
    this.spectrum = new Panel(this.panels, "its spectrum", unit);
    this.map = new Panel(this.panels, "error of each frequency: red is learnt", "step");
    const hover = (panel, take) => {
      panel.canvas.onpointermove = (event) => this.showValue(panel, event, ...take());
    };
    if (!isPicture) hover(this.fit, () => ["x", this.run.curveX, this.record.curves]);
    hover(this.spectrum, () => ["k", this.run.frequencies, this.record.amplitudes]);
  }

  // The values at the pointer, as the canvas's tooltip.
  showValue(panel, event, name, xs, values) {
    const wanted = panel.xAt(event.offsetX), distances = xs.map((x) => Math.abs(x - wanted));
    const nearest = distances.indexOf(Math.min(...distances));
    const [median, least, most] = [0, 1, 2].map((i) => values[i * xs.length + nearest]);
    const range = least < most ? ` (${format(least)} to ${format(most)})` : "";
    panel.canvas.title = `${name} = ${format(xs[nearest])}: ${format(median)}${range}`;
  }

  draw(run, place, lastStep) {
    if (this.isPicture !== Boolean(run.size)) this.makePanels(Boolean(run.size));
    [this.run, this.record] = [run, run.records[place]];
    const { curves, amplitudes } = this.record, { spectrum } = this;
    if (run.size) {
      this.fit.drawPicture(curves, run.size);
      this.missing.drawPicture(curves.map((value, i) => 0.5 + run.y[i] - value), run.size);
    } else {
      const least = Math.min(...run.y), most = Math.max(...run.y), margin = 0.35 * (most - least);
      this.fit.begin([run.curveX[0], run.curveX.at(-1)], [least - margin, most + margin]);
      this.fit.drawBand(run.curveX, curves);
      this.fit.drawDots(run.x, run.y);
    }
    // The mean is no frequency, and may be far above them.
    const highest = Math.max(...run.targetAmplitudes.filter((_, i) => run.frequencies[i] > 0));
    spectrum.begin([run.frequencies[0], run.frequencies.at(-1)], [0, 1.3 * highest]);
    spectrum.drawBand(run.frequencies, amplitudes);
    spectrum.drawDots(run.frequencies, run.targetAmplitudes);
    this.tell(run, this.drawMap(run, place, lastStep), format(run.steps[place]));
  }

  // Draws the heat map; returns for each row the first step below the threshold, if there is one.
  drawMap({ steps, records, labels, threshold }, place, lastStep) {
    const { map } = this, first = labels.map(() => null);
    const atStep = (step) => map.X(Math.max(step, LEAST_STEP));
    map.begin([LEAST_STEP, Math.max(lastStep, 2)], [0, labels.length], { isLog: true, rows: labels });
    const { context } = map;
    context.fillStyle = "#8883";
    context.fillRect(LEFT, TOP, map.right - LEFT, map.bottom - TOP);
    for (let i = 1; i <= place; i++) {
      const left = atStep(steps[i - 1]), width = atStep(steps[i]) - left + 0.5;
      records[i].errors.forEach((error, row) => {
        context.fillStyle = mixColor(error);
        context.fillRect(left, map.Y(row + 1), width, map.Y(row) - map.Y(row + 1) + 0.5);
      });
    }
    context.fillStyle = "#000";
    labels.forEach((_, row) => {
      const i = records.findIndex(({ errors }) => errors[row] < threshold);
      if (i < 0 || i > place) return;
      first[row] = steps[i];
      const height = map.Y(row + 0.25) - map.Y(row + 0.75);
      context.fillRect(atStep(steps[i]) - 1.5, map.Y(row + 0.75), 3, height);
    });
    context.fillStyle = map.ink;
    context.fillRect(atStep(steps[place]), TOP, 1, map.bottom - TOP);
    context.restore();
    return first;
  }

  // Says which frequencies have been below the threshold; aloud every two seconds at most.
  tell({ labels }, first, step) {
    const learnt = labels.map((label, row) => [label, first[row]]).filter(([, at]) => at !== null);
    const listed = learnt.map(([label, at]) => say("{0} (step {1})", label, format(at))).join(", ");
    const counted = say("{0} of {1} frequencies", learnt.length, labels.length);
    const text = learnt.length === 0 ? say("Nothing is learnt yet.")
      : say("Learnt so far: {0}.", learnt.length > MOST_LISTED ? counted : listed);
    this.told.textContent = text;
    for (const panel of [this.fit, this.missing, this.spectrum, this.map]) {
      panel?.canvas.setAttribute("aria-label", say("{0}, at step {1}", panel.title, step));
    }
    const now = performance.now();
    if (text !== this.spoken.textContent && now - this.lastSpoken >= MILLISECONDS_BETWEEN_WORDS) {
      [this.spoken.textContent, this.lastSpoken] = [text, now];
    }
  }
}

// Buttons for the runs, a play button, a slider over the records, and the view of one of them.
class Player {
  constructor(parent, legend = "") {
    this.box = add(parent, "div", "player");
    this.choices = add(this.box, "fieldset");
    this.legend = legend;
    const bar = add(this.box, "div", "bar");
    this.button = addButton(bar, "", () => this.play(!this.isPlaying));
    this.button.className = "play";
    const label = add(bar, "label", "step", say("step"));
    this.slider = add(label, "input");
    this.slider.type = "range";
    this.slider.oninput = () => this.show(Number(this.slider.value));
    this.output = add(label, "output");
    this.view = new View(this.box);
    this.box.onkeydown = (event) => this.press(event);
    this.place = 0;
    this.play(false);
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  // Shows runs that are complete; `follow` shows one that is not.
  setRuns(runs) {
    this.runs = runs;
    this.choices.hidden = runs.length < 2;
    add(this.choices, "legend", "", this.legend);
    this.buttons = runs.map((run, i) => addButton(this.choices, run.name, () => this.choose(i)));
    this.choose(0);
  }

  choose(i) {
    this.buttons.forEach((button, j) => button.setAttribute("aria-pressed", i === j));
    this.run = this.runs[i];
    this.lastStep = this.run.steps.at(-1);
    this.place = Math.min(this.place, this.run.steps.length - 1);
    this.draw();
  }

  // Shows the last record of a growing run, unless the reader has turned to an earlier one.
  follow(run, lastStep) {
    if (run !== this.run) this.isFollowing = true;
    [this.run, this.lastStep] = [run, lastStep];
    if (this.isFollowing) this.place = run.steps.length - 1;
    this.draw();
  }

  draw() {
    if (!this.run?.steps.length || !this.box.clientWidth) return;
    this.view.draw(this.run, this.place, this.lastStep);
    this.slider.max = this.run.steps.length - 1;
    this.slider.value = this.place;
    this.output.textContent = format(this.run.steps[this.place]);
    this.slider.setAttribute("aria-valuetext", say("step {0}", this.output.textContent));
    const { canvas } = this.view.map;
    canvas.onpointerdown = (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.drag(event);
    };
    canvas.onpointermove = (event) => event.buttons && this.drag(event);
  }

  show(place) {
    this.play(false);
    this.place = Math.min(Math.max(place, 0), this.run.steps.length - 1);
    this.isFollowing = this.place === this.run.steps.length - 1;
    this.draw();
  }

  drag(event) {
    const wanted = this.view.map.xAt(event.offsetX);
    this.show(this.run.steps.findLastIndex((step) => step <= wanted));
  }

  press(event) {
    const moves = { ArrowLeft: -1, ArrowRight: 1 };
    if (event.key === " " && event.target.localName !== "button") this.play(!this.isPlaying);
    else if (event.key in moves) this.show(this.place + moves[event.key]);
    else return;
    event.preventDefault();
  }

  play(isPlaying) {
    this.isPlaying = isPlaying;
    this.button.textContent = say(isPlaying ? "❚❚ Pause" : "▶ Play");
    cancelAnimationFrame(this.frame);
    if (!isPlaying) return;
    this.isFollowing = false;
    let drawn = 0;
    if (this.place >= this.run.steps.length - 1) this.place = 0;
    const tick = (now) => {
      if (now - drawn >= MILLISECONDS_A_RECORD) {
        drawn = now;
        this.place = Math.min(this.place + 1, this.run.steps.length - 1);
        this.draw();
      }
      if (this.place < this.run.steps.length - 1) this.frame = requestAnimationFrame(tick);
      else this.play(false);
    };
    this.frame = requestAnimationFrame(tick);
  }

  // Plays when it comes into sight; who asked for less motion sees the middle of the training.
  playWhenSeen() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.show(Math.floor(this.run.steps.length / 2));
      return;
    }
    const observer = new IntersectionObserver((entries) => {
      if (!entries.some((entry) => entry.isIntersecting)) return;
      observer.disconnect();
      this.play(true);
    }, { threshold: 0.5 });
    observer.observe(this.box);
  }
}

// Rows of numbers, of which the changes from row to row were stored as whole numbers, deflated.
async function unpack({ data, least, scale, length }) {
  const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
  const inflated = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const whole = new Uint16Array(await new Response(inflated).arrayBuffer());
  for (let i = length; i < whole.length; i++) whole[i] += whole[i - length];
  const values = Float32Array.from(whole, (value) => least + value * scale);
  return Array.from({ length: values.length / length },
    (_, i) => values.subarray(i * length, (i + 1) * length));
}

async function unpackRecords({ curves, amplitudes, errors }) {
  const [c, a, e] = await Promise.all([curves, amplitudes, errors].map(unpack));
  return c.map((_, i) => ({ curves: c[i], amplitudes: a[i], errors: e[i] }));
}

// Its own styles reach no further than this root, and those around it do not come in. JupyterLab
// would take the arrow keys for itself, as it does not see what has the focus in here.
function makeRoot(host, style) {
  host.dataset.lmSuppressShortcuts = "true";
  const root = host.attachShadow({ mode: "open" });
  add(root, "style", "", style);
  return root;
}

export async function playStored(host, { runs, legend, style }) {
  if (host.shadowRoot) return;
  const player = new Player(makeRoot(host, style), legend);
  for (const run of runs) run.records = await unpackRecords(run);
  player.setRuns(runs);
  player.playWhenSeen();
}
