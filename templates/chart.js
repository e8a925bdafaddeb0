// ---- Charts. plotters has drawn each one; what a reader asks for (a part of it, another axis, logarithmic scales,
// smoothing, fewer lines) is drawn here, from the numbers beside the drawing (src/report/plot.rs).

// A group of figures with one legend: which series and seeds are shown in all of them.
const groups = new WeakMap();
const setUpGroup = (group) => {
  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const off = new Set(), seedsOff = new Set(), filteredOut = new Set(), redraws = [];
  const legend = group.querySelector("[data-legend]");
  const buttons = legend ? all("[data-toggle-series]", legend) : [];
  const seedButtons = all("[data-toggle-seed]", group);
  const everySeed = group.querySelector("[data-all-seeds]");
  const name = (button) => button.querySelector("span").textContent;
  const shows = (series, seed) => !off.has(series) && !filteredOut.has(series) && !seedsOff.has(seed);
  const apply = () => {
    for (const button of buttons) press(button, !off.has(Number(button.dataset.toggleSeries)));
    for (const button of seedButtons) press(button, !seedsOff.has(Number(button.dataset.toggleSeed)));
    if (everySeed) press(everySeed, seedsOff.size === 0);
    for (const redraw of redraws) redraw();
  };
  const toggle = (set, value) => { if (!set.delete(value)) set.add(value); };

  for (const button of buttons) {
    button.title = "Shift: only this one";
    button.addEventListener("click", (event) => {
      const series = Number(button.dataset.toggleSeries);
      const others = buttons.map((other) => Number(other.dataset.toggleSeries)).filter((other) => other !== series);
      if (event.shiftKey) {
        const alone = !off.has(series) && others.every((other) => off.has(other));
        off.clear();
        if (!alone) for (const other of others) off.add(other);
      } else {
        toggle(off, series);
      }
      apply();
    });
  }
  for (const button of seedButtons) button.addEventListener("click", () => { toggle(seedsOff, Number(button.dataset.toggleSeed)); apply(); });
  everySeed?.addEventListener("click", () => {
    const hide = seedsOff.size === 0;
    seedsOff.clear();
    if (hide) for (const button of seedButtons) seedsOff.add(Number(button.dataset.toggleSeed));
    apply();
  });

  // Many lines: their legend can be put in order and narrowed down.
  const MANY = 6;
  let filter = null, order = null;
  const narrow = () => {
    filteredOut.clear();
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const button of buttons) {
      const found = words.every((word) => name(button).toLowerCase().includes(word));
      button.closest("li").hidden = !found;
      if (!found) filteredOut.add(Number(button.dataset.toggleSeries));
    }
    apply();
  };
  const arrange = () => {
    const by = {
      rank: () => 0,
      name: (a, b) => name(a).localeCompare(name(b), "en", { numeric: true }),
      file: (a, b) => a.dataset.toggleSeries - b.dataset.toggleSeries,
    }[order.value];
    for (const button of [...buttons].sort(by)) legend.append(button.closest("li"));
  };
  if (buttons.length > MANY) {
    const ranked = buttons.some((button) => button.querySelector("b"));
    filter = make("input", { type: "search", placeholder: "Filter", "aria-label": "Show only agents whose name contains" });
    order = make("select", { "aria-label": "Order of the legend" });
    order.append(new Option(ranked ? "by value" : "as they are", "rank"), new Option("by name", "name"));
    if (ranked) order.append(new Option("as in the experiment", "file"));
    filter.addEventListener("input", narrow);
    order.addEventListener("change", arrange);
    legend.before(make("div", { class: "legend-tools" }, filter, order));
    legend.classList.add("many");
  }

  groups.set(group, {
    shows,
    everything: () => off.size + seedsOff.size + filteredOut.size === 0,
    entries: () => buttons.filter((button) => shows(Number(button.dataset.toggleSeries))).map((button) => ({ label: name(button), key: button.querySelector("path") })),
    join: (redraw) => redraws.push(redraw),
    tell: () => ({ off: [...off], seedsOff: [...seedsOff], filter: filter?.value, order: order?.value }),
    restore: (told) => {
      for (const series of told.off) off.add(series);
      for (const seed of told.seedsOff) seedsOff.add(seed);
      if (order && told.order) { order.value = told.order; arrange(); }
      if (filter && told.filter) { filter.value = told.filter; narrow(); }
      apply();
    },
  });
};

// Ticks at round values: about so many, or the powers of ten and parts of them.
const ticksOf = (low, high, count, log) => {
  if (log) {
    const from = Math.floor(Math.log10(low)), to = Math.ceil(Math.log10(high)), decades = to - from;
    const parts = decades > count ? [1] : decades > 2 ? [1, 3] : [1, 2, 5];
    const every = Math.ceil(decades / count);
    const found = [];
    for (let power = from; power <= to; power += every) for (const part of parts) found.push(part * 10 ** power);
    const inside = found.filter((value) => value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9));
    if (inside.length > 1) return inside;
  }
  const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((part) => part * power >= rough) * power;
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) found.push(n * step);
  return found;
};
const tickText = (value, largest, share) => {
  if (share) return `${+(value * 100).toPrecision(3)} %`;
  if (Math.abs(value) < 1e-9 * largest) return "0";
  if (largest >= 2e6) return `${write(value / 1e6)}M`;
  return largest >= 1e4 ? `${write(value / 1e3)}k` : write(value);
};
// The first and the last point around a range; elsewhere a line would only be clipped.
const part = (xs, range) => {
  let from = 0, to = xs.length - 1;
  while (from < to && xs[from + 1] < range[0]) from += 1;
  while (to > from && xs[to - 1] > range[1]) to -= 1;
  return [from, to];
};
// The exponential moving mean, started without a bias.
const smoothed = (values, weight) => {
  if (weight === 0) return values;
  let mean = 0, norm = 0;
  return values.map((value) => {
    if (value === null) return null;
    mean = weight * mean + (1 - weight) * value;
    norm = weight * norm + 1 - weight;
    return mean / norm;
  });
};
const download = (name, type, text) => {
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
};

const figures = new WeakMap();
const setUpFigure = (figure) => {
  const REST = { axis: 0, x: null, y: null, logX: false, logY: false, smooth: 0, each: false };
  const state = { ...REST };
  const group = groups.get(figure.closest("[data-group]"));
  const drawing = figure.querySelector("[data-drawing]");
  const title = figure.querySelector("h3").firstChild.textContent.trim();
  const charts = all("svg.chart", drawing).map((svg) => {
    const [left, right, top, bottom] = svg.dataset.plot.split(" ").map(Number);
    return { svg, left, right, top, bottom, drawn: [...svg.childNodes], view: null };
  });
  const source = drawing.querySelector("[data-numbers]");
  let parsed = null;
  const numbers = () => (parsed ??= JSON.parse(source.textContent));

  // What is to be drawn: the lines that are shown, against the chosen axis, smoothed.
  const chosen = () => numbers().lines.filter((line) => group.shows(line.series)).map((line) => {
    const middle = line.middle[state.axis].map((column, kind) => (kind === 0 ? column : smoothed(column, state.smooth)));
    const thin = state.each && line.each.length > 0 ? line.each : line.thin;
    return {
      ...line,
      middle,
      thin: thin.filter(([seed]) => group.shows(line.series, seed)).map(([seed, columns]) => ({ seed, x: columns[state.axis], y: smoothed(columns[columns.length - 1], state.smooth) })),
    };
  });
  const extent = (values, usable) => {
    let low = Infinity, high = -Infinity;
    for (const value of values) if (value !== null && usable(value)) { low = Math.min(low, value); high = Math.max(high, value); }
    return low <= high ? [low, high] : null;
  };
  const columns = (lines) => lines.flatMap((line) => [
    ...(line.thin.length > 0 ? [[line.middle[0], line.middle[1]]] : [[line.middle[0], line.middle[2]], [line.middle[0], line.middle[3]]]),
    ...line.thin.map(({ x, y }) => [x, y]),
  ]);
  const positive = (value) => value > 0, anything = () => true;
  // Where nothing is above zero, there is nothing that a logarithmic axis could show.
  const isLogX = (all) => state.logX && all.some(([xs]) => xs.some(positive));
  const wholeX = (all) => {
    const logX = isLogX(all), seen = extent(all.flatMap(([xs]) => xs), logX ? positive : anything) ?? [0, 1];
    if (logX) return seen[0] < seen[1] ? seen : [seen[0] / 2, seen[1] * 2];
    return numbers().x[state.axis].range ?? [0, seen[1] > 0 ? seen[1] : 1];
  };
  // The same ranges as src/report/chart.rs draws in, of what is shown.
  const viewOf = (lines) => {
    const { share, rules } = numbers(), all = columns(lines);
    const across = state.x ?? wholeX(all);
    // What is in view, and the points beside it, to which lines lead.
    const inside = () => all.flatMap(([xs, ys]) => {
      const [from, to] = part(xs, across);
      return ys.slice(from, to + 1);
    });
    let logY = state.logY;
    const wholeY = () => {
      if (logY) {
        const seen = extent(inside(), positive);
        if (seen) return [seen[0] / 1.1, seen[1] * 1.1];
        logY = false;
      }
      if (share && !state.x) return [0, 1.02];
      let [low, high] = extent(inside(), anything) ?? [0, 1];
      const fromZero = () => low >= 0 && low < 0.4 * high;
      const seen = fromZero() ? high : high - low;
      for (const rule of rules) {
        const reach = [Math.min(low, rule.y), Math.max(high, rule.y)];
        if (reach[1] - reach[0] <= 2 * seen) [low, high] = reach;
      }
      const size = Math.max(Math.abs(low), Math.abs(high));
      const air = high - low > 1e-9 * size ? (high - low) * 0.05 : (size || 10) * 0.1;
      return [fromZero() ? 0 : low - air, high + air];
    };
    return { x: across, y: state.y ?? wholeY(), logX: isLogX(all), logY };
  };
  const straight = (log) => (log ? Math.log10 : (value) => value);
  const scale = ([low, high], from, to, log) => {
    const t = straight(log), a = t(low), span = t(high) - a || 1;
    const place = (value) => from + (t(value) - a) / span * (to - from);
    place.back = (at) => { const value = a + (at - from) / (to - from) * span; return log ? 10 ** value : value; };
    return place;
  };

  const redraw = (chart, lines, view) => {
    const { svg, left, right, top, bottom } = chart;
    const { y: label, x: axes, share, rules } = numbers();
    const sx = scale(view.x, left, right, view.logX), sy = scale(view.y, bottom, top, view.logY);
    const usable = (x, y) => x !== null && y !== null && (!view.logX || x > 0) && (!view.logY || y > 0);
    const at = (x, y) => `${sx(x).toFixed(1)} ${sy(y).toFixed(1)}`;
    const path = (xs, ys) => {
      let text = "", pen = "M";
      const [from, to] = part(xs, view.x);
      for (let index = from; index <= to; index += 1) {
        if (usable(xs[index], ys[index])) { text += pen + at(xs[index], ys[index]); pen = "L"; } else pen = "M";
      }
      return text;
    };
    const text = (words, cls, x, y, anchor) => make("text", { class: cls, x, y, "text-anchor": anchor }, words);
    const parts = [];
    // Points clipped by the frame of a drawing inside the drawing.
    const plot = make("svg", { x: left, y: top, width: right - left, height: bottom - top, viewBox: `${left} ${top} ${right - left} ${bottom - top}` });
    const narrow = chart.svg.viewBox.baseVal.width < 500;
    const marks = (range, count, log) => {
      const largest = Math.max(Math.abs(range[0]), Math.abs(range[1]));
      return ticksOf(range[0], range[1], count, log).map((value) => [value, largest]);
    };
    for (const [value, largest] of marks(view.y, bottom - top < 200 ? 4 : 6, view.logY)) {
      const y = sy(value).toFixed(1);
      parts.push(make("path", { class: "grid", d: `M${left} ${y}H${right}` }));
      parts.push(text(tickText(value, view.logY ? Math.abs(value) : largest, share), "tick", left - 7, Number(y) + 4, "end"));
    }
    const names = axes[state.axis].names;
    for (const [value, largest] of marks(view.x, narrow ? 4 : 8, view.logX)) {
      if (names.length > 0 && !Number.isInteger(value)) continue;
      const x = sx(value).toFixed(1);
      parts.push(make("path", { class: "axis", d: `M${x} ${bottom}v4` }));
      parts.push(text(tickText(value, view.logX ? Math.abs(value) : largest), "tick", x, bottom + 17, "middle"));
    }
    parts.push(make("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}` }), plot);
    const shape = (cls, line, d, seed) => {
      if (d === "") return;
      const element = make("path", { class: `${cls} ${line.class}`, d, "data-series": line.series });
      if (seed !== undefined) element.dataset.seed = seed;
      plot.append(element);
    };
    for (const line of lines) {
      const [xs, , low, high] = line.middle, upper = [], lower = [];
      if (low.every((value, index) => value === high[index])) continue;
      const [from, to] = part(xs, view.x);
      // Below what a logarithmic axis can show is below its edge.
      const floor = view.logY ? view.y[0] / 10 : -Infinity;
      for (let index = from; index <= to; index += 1) {
        if (!usable(xs[index], high[index])) continue;
        upper.push(at(xs[index], high[index]));
        lower.unshift(at(xs[index], Math.max(low[index], floor)));
      }
      if (upper.length > 1) shape("band", line, `M${[...upper, ...lower].join("L")}z`);
    }
    const crowd = lines.reduce((sum, line) => sum + line.thin.length, 0) > 30 ? " crowd" : "";
    for (const line of lines) for (const { seed, x, y } of line.thin) shape(`seed${crowd}`, line, path(x, y), seed);
    for (const rule of rules) {
      if (!usable(view.x[1], rule.y)) continue;
      const y = sy(rule.y), arrow = y < top ? " ↑" : y > bottom ? " ↓" : "";
      if (!arrow) plot.append(make("path", { class: `rule ${rule.class}`, d: `M${left} ${y}H${right}` }));
      const edge = y < top ? top + 14 : Math.min(y, bottom);
      const side = rule.class === "goal" ? [left + 6, "start"] : [right - 2, "end"];
      parts.push(text(rule.label + arrow, `rule-label ${rule.class}`, side[0], edge - 3, side[1]));
    }
    for (const line of lines) {
      const [xs, ys] = line.middle;
      shape("mean", line, path(xs, ys));
      if (!line.dots && xs.length > 1) continue;
      xs.forEach((x, index) => {
        if (usable(x, ys[index])) plot.append(make("circle", { class: `mean ${line.class}`, cx: sx(x), cy: sy(ys[index]), r: 2.5 }));
      });
    }
    const how = [view.logY ? "logarithmic" : "", state.smooth ? `smoothed ${state.smooth}` : ""].filter(Boolean);
    parts.push(text([label, ...how].join(", "), "axis-title", 2, 13, "start"));
    const { width, height } = svg.viewBox.baseVal;
    parts.push(text(axes[state.axis].label + (view.logX ? ", logarithmic" : ""), "axis-title", width - 14, height - 2, "end"));
    svg.replaceChildren(...parts, chart.cross);
  };

  // ---- What holds now: at rest, the drawing that came with the page.
  const resting = () => group.everything() && Object.keys(REST).every((key) => state[key] === REST[key]);
  const status = make("p", { class: "caption", role: "status", hidden: "" });
  const show = () => {
    if (!source) {
      for (const shape of all(".chart [data-series]", drawing)) shape.classList.toggle("off", !group.shows(Number(shape.dataset.series)));
      return;
    }
    const view = resting() ? null : viewOf(chosen());
    if (resting()) {
      for (const chart of charts) { chart.svg.replaceChildren(...chart.drawn, chart.cross); chart.view = null; }
    } else {
      const lines = chosen();
      for (const chart of charts) { chart.view = view; redraw(chart, lines, view); }
    }
    const { each } = source && !resting() ? numbers() : {};
    const said = [
      state.x || state.y ? "A part of the chart is shown." : "",
      state.smooth ? `Smoothed: an exponential moving mean over the points, weight ${state.smooth}.` : "",
      state.logX && !view.logX ? "Nothing is above zero: the horizontal axis stays linear." : "",
      state.logY ? (view.logY ? "Values at or below zero have no place on a logarithmic axis." : "Nothing is above zero: the vertical axis stays linear.") : "",
      state.each && each ? `Thin lines are ${each.drawn < each.of ? `${each.drawn.toLocaleString("en")} of ${each.of.toLocaleString("en")} ` : ""}${each.label}; the thick line is that of their means.` : "",
    ].filter(Boolean);
    status.textContent = said.join(" ");
    status.hidden = said.length === 0;
    sync();
    figure.dispatchEvent(new CustomEvent("chart-drawn", { bubbles: true }));
  };
  let sync = () => {};
  const set = (changes) => { Object.assign(state, changes); state.x = bounded(state.x); show(); };
  const viewNow = () => viewOf(chosen());

  // ---- Zoom and pan, along the axis as it is drawn: within the whole chart, and no closer than numbers can tell apart.
  const bounded = (range) => {
    if (!range) return null;
    const all = columns(chosen()), whole = wholeX(all), place = scale(whole, 0, 1, isLogX(all));
    let [from, to] = range.map(place);
    const span = Math.max(to - from, 1e-4);
    if (!(span < 1)) return null;
    from = Math.min(Math.max((from + to - span) / 2, 0), 1 - span);
    return [place.back(from), place.back(from + span)];
  };
  const within = (range, log, from, to) => {
    const place = scale(range, 0, 1, log);
    return [place.back(from), place.back(to)];
  };
  const zoom = (factor, around = 0.5) => {
    const view = viewNow();
    set({ x: within(view.x, view.logX, around - around * factor, around + (1 - around) * factor) });
  };
  const pan = (share) => {
    const view = viewNow();
    set({ x: within(view.x, view.logX, share, 1 + share), y: state.y });
  };
  const reset = () => set({ x: null, y: null });

  // ---- Tools.
  const button = (label, words, act) => {
    // A word is its own name; a sign, and what is there in every chart, needs a longer one.
    const named = /^[a-z ]+$/.test(words) ? {} : { "aria-label": label };
    const made = make("button", { type: "button", title: label, ...named }, words);
    made.addEventListener("click", act);
    return made;
  };
  const tools = make("div", { class: "tools", role: "group", "aria-label": `Tools of ${title}` });
  if (source) {
    const toggles = new Map();
    const toggle = (key, label, words) => {
      const made = button(label, words, () => set({ [key]: !state[key], ...(key === "logX" ? { x: null } : key === "logY" ? { y: null } : {}) }));
      toggles.set(key, made);
      return made;
    };
    const smooth = make("select", { "aria-label": `Smoothing of ${title}` });
    smooth.append(new Option("not smoothed", 0), ...[0.6, 0.8, 0.9, 0.97].map((weight) => new Option(`smoothed ${weight}`, weight)));
    smooth.addEventListener("change", () => set({ smooth: Number(smooth.value) }));
    const back = button("Show the whole chart", "reset", reset);
    tools.append(
      button("Zoom in", "+", () => zoom(0.5)), button("Zoom out", "−", () => zoom(2)),
      button("Move to the left", "←", () => pan(-0.25)), button("Move to the right", "→", () => pan(0.25)), back,
      toggle("logX", "Logarithmic horizontal axis", "log x"), toggle("logY", "Logarithmic vertical axis", "log y"), smooth,
    );
    // Whether there are single values stands in the numbers, which are read when somebody comes near.
    if (/"each": ?\{/.test(source.textContent)) tools.append(toggle("each", "Single episodes in place of their means", "single episodes"));
    sync = () => {
      for (const [key, made] of toggles) made.setAttribute("aria-pressed", String(state[key]));
      smooth.value = state.smooth;
      back.disabled = !state.x && !state.y;
      for (const axis of all("[data-axis]", figure)) axis.setAttribute("aria-pressed", String(Number(axis.dataset.axis) === state.axis));
    };
    for (const axis of all("[data-axis]", figure)) {
      axis.addEventListener("click", () => set({ axis: Number(axis.dataset.axis), x: null }));
    }
  }
  const table = figure.querySelector(".below table");
  const file = (kind) => `${document.title.replace(" · rushes", "")}-${figure.id}.${kind}`.replace(/[^\w.-]+/g, "-");
  tools.append(button(`Save ${title} as SVG`, "SVG", () => download(file("svg"), "image/svg+xml", drawn())));
  if (source || table) tools.append(button(`Save the numbers of ${title} as CSV`, "CSV", () => download(file("csv"), "text/csv", listed())));
  const small = figure.parentElement.matches(".grid");
  drawing.after(status, small ? make("details", { class: "more" }, make("summary", { "aria-label": `Tools of ${title}` }, "Tools"), tools) : tools);
  sync();

  // The numbers: those of the lines, or the table below.
  const listed = () => {
    // What a spreadsheet would take for a formula is marked as text.
    const plain = (value) => (typeof value === "string" && /^[=+\-@]/.test(value) && !Number.isFinite(Number(value)) ? `'${value}` : value);
    const field = (raw, value = plain(raw)) => (/[",\r\n]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
    const rows = [];
    if (source) {
      const { x, y, lines } = numbers(), words = x.map((axis) => axis.word);
      rows.push(["agent", "kind", "seed", ...words, y, "low", "high"]);
      for (const line of lines.filter((line) => group.shows(line.series))) {
        line.middle.forEach((columns, axis) => columns[0].forEach((_, index) => {
          rows.push([line.label, "line", "", ...words.map((_, other) => (other === axis ? columns[0][index] : "")), columns[1][index], columns[2][index], columns[3][index]]);
        }));
        for (const [kind, thin] of [["seed", line.thin], ["single", line.each]]) {
          for (const [seed, columns] of thin) columns[0].forEach((_, index) => rows.push([line.label, kind, seed, ...columns.map((column) => column[index]), "", ""]));
        }
      }
    } else {
      const words = (cell) => [...cell.childNodes].map((node) => node.textContent.trim()).filter(Boolean).join("; ");
      for (const row of table.rows) rows.push([...row.cells].map(words));
    }
    return rows.map((row) => row.map(field).join(",")).join("\n") + "\n";
  };
  // The drawing as a file of its own: with its colours, its legend and its title.
  const drawn = () => {
    const LOOK = ["fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font-size", "font-family", "paint-order"];
    const shown = charts.find(({ svg }) => svg.clientWidth > 0) ?? charts[0];
    const look = (from, to) => { for (const name of LOOK) to.style.setProperty(name, getComputedStyle(from).getPropertyValue(name)); };
    const copy = shown.svg.cloneNode(true);
    const originals = all("*", shown.svg);
    all("*", copy).forEach((element, index) => {
      if (originals[index].classList.contains("off")) element.setAttribute("data-gone", "");
      if (/^(path|circle|text)$/.test(element.tagName)) look(originals[index], element);
    });
    for (const gone of all("[data-gone]", copy)) gone.remove();
    const { width, height } = shown.svg.viewBox.baseVal;
    const entries = group.entries(), ROW = 18, wide = 220, perRow = Math.max(1, Math.floor(width / wide));
    const whole = height + 26 + Math.ceil(entries.length / perRow) * ROW;
    const body = getComputedStyle(document.body);
    const words = (text, x, y, size) => make("text", { x, y, style: `fill:${body.color};font:${size} ${body.fontFamily.replaceAll('"', "'")}` }, text);
    const inner = make("svg", { y: 26, width, height });
    inner.append(...copy.childNodes);
    const file = make("svg", { viewBox: `0 0 ${width} ${whole}`, width, height: whole });
    file.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    file.append(make("path", { d: `M0 0H${width}V${whole}H0z`, style: `fill:${body.backgroundColor}` }), words(title, 2, 17, "600 14px"), inner);
    entries.forEach(({ label, key }, index) => {
      const x = (index % perRow) * wide + 4, y = height + 40 + Math.floor(index / perRow) * ROW;
      const line = make("path", { d: `M${x} ${y - 4}h24` });
      look(key, line);
      file.append(line, words(label, x + 32, y, "12px"));
    });
    return new XMLSerializer().serializeToString(file);
  };

  // ---- Values under the pointer; a stretch that is dragged over is zoomed into.
  const tip = make("div", { class: "tip", hidden: "" });
  const MOST_ROWS = 14;
  drawing.append(tip);
  for (const chart of charts) {
    const { svg, left, right, top, bottom } = chart;
    if (!source) continue;
    const cross = make("line", { class: "cross off", y1: top, y2: bottom });
    chart.cross = cross;
    svg.append(cross);
    let share = 1, drag = null;
    const atRest = () => ({ x: svg.dataset.x.split(" ").map(Number), logX: false });
    const hide = () => { tip.hidden = true; cross.classList.add("off"); };
    const tell = () => {
      const view = chart.view ?? atRest(), { x: axes } = numbers(), { word, names } = axes[state.axis];
      let at = scale(view.x, 0, 1, view.logX).back(share);
      if (names.length > 0) at = Math.min(Math.max(Math.round(at), 1), names.length);
      const rows = [];
      for (const line of chosen()) {
        const [xs, ys, lows, highs] = line.middle;
        if (xs.length === 0 || at < xs[0]) continue;
        // The curve is straight between its points and goes on at its last value.
        let next = xs.findIndex((x) => x >= at);
        if (next < 0) next = xs.length - 1;
        const before = Math.max(next - 1, 0), span = xs[next] - xs[before];
        const part = span > 0 ? Math.min(Math.max((at - xs[before]) / span, 0), 1) : 0;
        const value = (column) => column[before] + part * (column[next] - column[before]);
        rows.push({ line, y: value(ys), low: value(lows), high: value(highs) });
      }
      rows.sort((a, b) => b.y - a.y);
      const say = (value) => (numbers().share ? `${+(value * 100).toPrecision(3)} %` : write(value));
      tip.replaceChildren(make("p", {}, names.length > 0 ? names[at - 1] : `${write(at >= 100 ? Math.round(at) : at)} ${word}`));
      for (const { line, y, low, high } of rows.slice(0, MOST_ROWS)) {
        const row = make("div", {}, make("span", { class: `swatch ${line.class}` }), make("span", { class: "name" }, line.label), make("b", {}, say(y)));
        if (low !== high) row.append(make("small", {}, `${say(low)} – ${say(high)}`));
        tip.append(row);
      }
      if (rows.length > MOST_ROWS) tip.append(make("p", {}, `and ${rows.length - MOST_ROWS} more`));
      if (state.smooth) tip.append(make("p", {}, `smoothed ${state.smooth}`));
      const x = scale(view.x, left, right, view.logX)(at);
      cross.setAttribute("x1", x);
      cross.setAttribute("x2", x);
      cross.classList.remove("off");
      tip.hidden = false;
      const size = svg.clientWidth / svg.viewBox.baseVal.width;
      const room = drawing.clientWidth - tip.offsetWidth;
      const beside = x * size + 14;
      tip.style.left = `${Math.max(0, beside <= room ? beside : x * size - tip.offsetWidth - 14)}px`;
    };
    const pointed = (event) => {
      const box = svg.getBoundingClientRect();
      const by = svg.viewBox.baseVal.width / box.width;
      return [((event.clientX - box.left) * by - left) / (right - left), (bottom - (event.clientY - box.top) * by) / (bottom - top)];
    };
    const held = (value) => Math.min(Math.max(value, 0), 1);
    svg.addEventListener("pointerdown", (event) => {
      const [x, y] = pointed(event);
      if (event.pointerType === "touch" || event.button !== 0 || x < 0 || x > 1 || y < 0 || y > 1) return;
      svg.setPointerCapture(event.pointerId);
      drag = { from: [x, y], view: viewNow(), pans: event.shiftKey, frame: make("path", { class: "selection" }) };
      svg.append(drag.frame);
      hide();
    });
    // Mostly sideways: a stretch of the horizontal axis, with all that is in it.
    const selected = ([x, y]) => {
      const [fromX, fromY] = drag.from, tall = Math.abs(held(y) - fromY) > 0.15;
      const across = [Math.min(fromX, held(x)), Math.max(fromX, held(x))];
      return { across, up: tall ? [Math.min(fromY, held(y)), Math.max(fromY, held(y))] : null };
    };
    svg.addEventListener("pointermove", (event) => {
      const to = pointed(event);
      if (!drag) {
        share = to[0];
        if (share < 0 || share > 1) hide(); else tell();
      } else if (drag.pans) {
        const by = drag.from[0] - to[0];
        set({ x: within(drag.view.x, drag.view.logX, by, 1 + by) });
      } else {
        const { across, up } = selected(to), [low, high] = up ?? [0, 1];
        const x = across.map((part) => left + part * (right - left)), y = [bottom - low * (bottom - top), bottom - high * (bottom - top)];
        drag.frame.setAttribute("d", `M${x[0]} ${y[0]}H${x[1]}V${y[1]}H${x[0]}z`);
      }
    });
    svg.addEventListener("pointerup", (event) => {
      if (!drag) return;
      const { view, pans, frame } = drag, { across, up } = selected(pointed(event));
      frame.remove();
      drag = null;
      if (pans || across[1] - across[0] < 0.02) return;
      set({ x: within(view.x, view.logX, ...across), y: up && within(view.y, view.logY, ...up) });
    });
    svg.addEventListener("pointercancel", () => { drag?.frame.remove(); drag = null; });
    svg.addEventListener("dblclick", reset);
    svg.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      zoom(event.deltaY < 0 ? 0.8 : 1.25, held(pointed(event)[0]));
    }, { passive: false });
    svg.addEventListener("pointerleave", hide);
    svg.setAttribute("tabindex", "0");
    svg.addEventListener("blur", hide);
    svg.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const move = (by) => { share = held(share + by); tell(); };
      const act = {
        ArrowLeft: () => (event.shiftKey ? pan(-0.1) : move(-0.02)),
        ArrowRight: () => (event.shiftKey ? pan(0.1) : move(0.02)),
        "+": () => zoom(0.5, share), "=": () => zoom(0.5, share), "-": () => zoom(2, share), 0: reset, Escape: hide,
      }[event.key];
      if (!act) return;
      event.preventDefault();
      event.stopPropagation();
      act();
      if (!tip.hidden) tell();
    });
  }
  group.join(show);
  const words = () => (source ? numbers().x[state.axis].word : "");
  figures.set(figure, {
    // The horizontal axis as it is drawn, for what stands on it.
    across: () => ({
      unit: figure.querySelector('[data-axis][aria-pressed="true"]')?.textContent ?? words(),
      charts: charts.map(({ svg, left, right, top, bottom, view }) => {
        const { x, logX } = view ?? { x: svg.dataset.x.split(" ").map(Number), logX: false };
        return { svg, place: scale(x, left, right, logX), left, right, top, bottom };
      }),
    }),
    tell: () => (resting() ? null : { ...state }),
    restore: (told) => { if (told) set(told); },
  });
};
