"use strict";
// The page is complete without this script; it adds the shared player, switches and values under the pointer, and
// keeps the page of a running run up to date.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const make = (name, attributes = {}, ...children) => {
  const svg = ["svg", "path", "line", "circle", "text"].includes(name);
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
  for (const table of all("table", root)) setUpTable(table);
  for (const group of all("[data-group]", root)) setUpGroup(group);
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

{% include "chart.js" %}
{% include "table.js" %}
{% include "playhead.js" %}
{% include "player.js" %}
