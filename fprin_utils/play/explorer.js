// Experiments of the reader's own: controls, and lanes in which networks learn. In a notebook the
// kernel trains them (`render`, for anywidget); on a page a worker does (site/live.js).

// Controls from {name, label, values, isMore}: a slider over numbers, a choice of texts, or, without
// values, a list of numbers to type.
class Form {
  constructor(parent, controls, changed) {
    const [few, more] = [add(parent, "div", "form"), add(parent, "details")];
    add(more, "summary", "", "More");
    const rest = add(more, "div", "form");
    more.hidden = !controls.some(({ isMore }) => isMore);
    this.controls = controls.map((control) => {
      const { label, values, isMore } = control, box = add(isMore ? rest : few, "label", "", label);
      const isChoice = typeof values?.[0] === "string";
      const input = add(box, isChoice ? "select" : "input"), output = add(box, "output");
      if (isChoice) values.forEach((value) => add(input, "option", "", value));
      else input.type = values ? "range" : "text";
      const made = { ...control, input, output };
      input.oninput = () => {
        this.showValue(made);
        changed();
      };
      return made;
    });
  }

  showValue({ values, input, output }) {
    input.removeAttribute("aria-invalid");
    if (input.type !== "range") return;
    output.textContent = values[input.value];
    input.setAttribute("aria-valuetext", output.textContent);
  }

  write(settings) {
    for (const control of this.controls) {
      const { name, input } = control, value = settings[name];
      if (value === undefined) continue;
      if (input.type === "range") {
        const sorted = [...new Set([...control.values, Number(value)])].sort((a, b) => a - b);
        [control.values, input.max] = [sorted, sorted.length - 1];
        input.value = sorted.indexOf(Number(value));
      } else {
        input.value = [value].flat().join(", ");
      }
      this.showValue(control);
    }
  }

  read() {
    return Object.fromEntries(this.controls.map(({ name, values, input }) => [name,
      input.type === "range" ? values[input.value]
        : input.type === "text" ? input.value.split(",").map(Number) : input.value]));
  }

  complain(name) {
    const control = this.controls.find((each) => each.name === name);
    if (!control) return;
    control.input.setAttribute("aria-invalid", true);
    if (control.isMore) control.input.closest("details").open = true;
    control.input.focus();
  }
}

// A title, and a player that follows a training.
class Lane {
  constructor(parent, title) {
    this.section = add(parent, "section", "lane");
    this.heading = add(this.section, "h3", "", title);
    this.player = new Player(this.section);
  }

  begin(run, lastStep) {
    Object.assign(this, { run, lastStep });
    this.section.classList.remove("stale");
    this.player.play(false);
  }

  extend(steps, records) {
    this.run.steps.push(...steps);
    this.run.records.push(...records);
    this.player.follow(this.run, this.lastStep);
  }
}

export default {
  render({ model, el }) {
    const { style, controls, presets, settings, run, lastStep, text } = model.get("start");
    const root = makeRoot(el, style);
    const train = (values) => model.send({ do: "train", settings: values });
    const buttons = add(root, "fieldset");
    add(buttons, "legend", "", "Examples");
    for (const [name, values] of Object.entries(presets)) {
      addButton(buttons, name, () => {
        form.write(values);
        train(form.read());
      });
    }
    const now = new Lane(root, "Now");
    const bar = add(root, "div", "bar");
    const form = new Form(root, controls, () => now.section.classList.add("stale"));
    form.write(settings);
    const start = addButton(bar, "Train", () => train(form.read()));
    start.className = "play";
    const stop = addButton(bar, "Stop", () => model.send({ do: "stop" }));
    const save = addButton(bar, "Save figure",
      () => model.send({ do: "save", record: now.player.place }));
    const status = add(bar, "span");
    status.setAttribute("role", "status");
    const saved = add(root, "div", "saved");
    root.insertBefore(saved, bar.nextSibling);
    const before = new Lane(root, "Before");
    before.section.hidden = true;
    const answers = {
      async begin({ run, lastStep }) {
        if (now.run) {
          before.section.hidden = false;
          before.begin(now.run, now.lastStep);
          before.extend([], []);
        }
        now.begin({ ...run, steps: [], records: [] }, lastStep);
        await answers.records(run);
        saved.replaceChildren();
      },
      async records(packed) {
        now.extend(packed.steps, await unpackRecords(packed));
      },
      tell({ text, isBusy, control }) {
        // How far a training has come is to be seen, and not to be spoken ten times a second.
        status.setAttribute("aria-live", isBusy ? "off" : "polite");
        status.textContent = text;
        [start.disabled, save.disabled, stop.disabled] = [isBusy, isBusy, !isBusy];
        for (const button of buttons.querySelectorAll("button")) button.disabled = isBusy;
        form.complain(control);
      },
      saved({ html }) {
        saved.innerHTML = html;
        saved.scrollIntoView({ block: "nearest" });
      },
    };
    answers.tell({ text, isBusy: false });
    // One answer after the other: unpacking takes a moment.
    let last = answers.begin({ run, lastStep }).then(() => now.player.playWhenSeen());
    model.on("msg:custom", (answer) => {
      last = last.then(() => answers[answer.kind](answer));
    });
  },
};
