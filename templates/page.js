"use strict";
// The page is complete without this script; it adds the shared player, switches and values under the pointer, and
// keeps the page of a running run up to date.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (name, attributes = {}, ...children) => {
  const svg = ["svg", "g", "path", "line", "title"].includes(name);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
};
const write = (value) => {
  const size = Math.abs(value);
  const text = size >= 1000 ? Math.round(size).toLocaleString("en") : String(+size.toPrecision(4));
  return (value < 0 ? "−" : "") + text;
};

{% include "theme.js" %}
// ---- Paper shows what is folded away, except lists of files and what the charts show already.
{
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open])").filter((details) => !details.matches(".files, .thoughts, .below details"));
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => { for (const details of opened) details.open = false; });
}

// ---- What is set up once for each piece of the page, and again for pieces that a live page replaces.
const setUp = (root) => {
  for (const button of all("[data-copy]", root)) setUpCopy(button);
  for (const figure of all("[data-figure]", root)) setUpFigure(figure);
  for (const player of all("[data-player]", root)) setUpPlayer(player);
};

const setUpCopy = (button) => {
  button.addEventListener("click", async () => {
    const text = button.closest(".code-box").querySelector("pre").textContent;
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(button.closest(".code-box").querySelector("pre"));
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
};

// ---- Figures: variants, series and seeds to switch, values under the pointer.
const setUpFigure = (figure) => {
  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  const off = new Set();

  const seedButtons = all("[data-toggle-seed]", figure);
  const everySeed = figure.querySelector("[data-all-seeds]");
  const apply = () => {
    const hidden = new Set(seedButtons.filter((b) => !pressed(b)).map((b) => b.dataset.toggleSeed));
    for (const shape of all(".chart [data-series]", figure)) {
      const seed = shape.dataset.seed;
      shape.classList.toggle("off", off.has(shape.dataset.series) || (seed !== undefined && hidden.has(seed)));
    }
    if (everySeed) press(everySeed, hidden.size === 0);
  };
  for (const button of all("[data-toggle-series]", figure)) {
    button.addEventListener("click", () => {
      press(button, !pressed(button));
      const series = button.dataset.toggleSeries;
      if (pressed(button)) off.delete(series); else off.add(series);
      apply();
    });
  }
  for (const button of seedButtons) button.addEventListener("click", () => { press(button, !pressed(button)); apply(); });
  everySeed?.addEventListener("click", () => {
    const on = !pressed(everySeed);
    for (const button of seedButtons) press(button, on);
    apply();
  });
  for (const button of all("[data-variant]", figure)) {
    button.addEventListener("click", () => {
      for (const other of all("[data-variant]", figure)) press(other, other === button);
      for (const variant of all("[data-variant-of]", figure)) variant.hidden = variant.dataset.variantOf !== button.dataset.variant;
    });
  }

  for (const source of all("script.hover", figure)) {
    const { unit, series } = JSON.parse(source.textContent);
    const variant = source.parentElement;
    const tip = make("div", { class: "tip", hidden: "" });
    variant.append(tip);
    for (const chart of all("svg.chart", variant)) {
      const [left, right, top, bottom] = chart.dataset.plot.split(" ").map(Number);
      const [min, max] = chart.dataset.x.split(" ").map(Number);
      const cross = make("line", { class: "cross off", y1: top, y2: bottom });
      chart.append(cross);
      const hide = () => { tip.hidden = true; cross.classList.add("off"); };
      const show = (share) => {
        const at = min + share * (max - min);
        tip.replaceChildren(make("p", {}, `${write(at >= 100 ? Math.round(at) : at)} ${unit}`));
        for (const line of series) {
          if (off.has(String(line.series)) || at < line.x[0]) continue;
          // The curve is straight between its points and goes on at its last value.
          let next = line.x.findIndex((x) => x >= at);
          if (next < 0) next = line.x.length - 1;
          const before = Math.max(next - 1, 0);
          const span = line.x[next] - line.x[before];
          const part = span > 0 ? Math.min(Math.max((at - line.x[before]) / span, 0), 1) : 0;
          const value = (column) => write(column[before] + part * (column[next] - column[before]));
          const row = make("div", {}, make("span", { class: `swatch ${line.class}` }), make("span", { class: "name" }, line.label), make("b", {}, value(line.y)));
          if (line.low[next] !== line.high[next]) row.append(make("small", {}, `${value(line.low)} – ${value(line.high)}`));
          tip.append(row);
        }
        const x = left + share * (right - left);
        cross.setAttribute("x1", x);
        cross.setAttribute("x2", x);
        cross.classList.remove("off");
        tip.hidden = false;
        const scale = chart.clientWidth / chart.viewBox.baseVal.width;
        const room = variant.clientWidth - tip.offsetWidth;
        const beside = x * scale + 14;
        tip.style.left = `${Math.max(0, beside <= room ? beside : x * scale - tip.offsetWidth - 14)}px`;
      };
      let share = 1;
      chart.addEventListener("pointermove", (event) => {
        const box = chart.getBoundingClientRect();
        const x = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
        share = (x - left) / (right - left);
        if (share < 0 || share > 1) hide(); else show(share);
      });
      chart.addEventListener("pointerleave", hide);
      chart.setAttribute("tabindex", "0");
      chart.addEventListener("blur", hide);
      chart.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
        if (event.key === "Escape") hide();
        if (!by) return;
        event.preventDefault();
        event.stopPropagation();
        share = Math.min(Math.max(share + by, 0), 1);
        show(share);
      });
    }
  }
};

{% include "playhead.js" %}
{% include "player.js" %}
