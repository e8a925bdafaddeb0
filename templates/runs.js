"use strict";
// The index is complete without this script; it adds the filters and keeps the rows up to date.

const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);
{% include "theme.js" %}
const list = one("[data-runs]"), words = one("[data-words]"), state = one("[data-state]"), compare = one("[data-compare]");

const show = () => {
  const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = all(".run", list);
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = (state.value && row.dataset.state !== state.value) || !wanted.every((word) => text.includes(word));
  }
  const shown = rows.filter((row) => !row.hidden).length;
  const ticked = all(".tick :checked", list).length;
  one("[data-none]").hidden = shown > 0;
  one("[data-count]").textContent = shown === rows.length ? `${rows.length} runs` : `${shown} of ${rows.length} runs`;
  compare.disabled = ticked < 2;
  compare.textContent = ticked < 2 ? "Compare the ticked runs" : `Compare ${ticked} runs`;
};
for (const [element, event] of [[words, "input"], [state, "change"], [list, "change"]]) element.addEventListener(event, show);
// A browser fills in ticks when the reader comes back.
addEventListener("pageshow", show);

const take = (message) => {
  const { changed, all: order } = JSON.parse(message.data);
  const rows = new Map(all(".run", list).map((row) => [row.dataset.run, row]));
  for (const html of changed) {
    const holder = document.createElement("template");
    holder.innerHTML = html;
    const fresh = holder.content.firstElementChild, old = rows.get(fresh.dataset.run);
    rows.set(fresh.dataset.run, fresh);
    if (!old) continue;
    if (old.outerHTML === fresh.outerHTML) {
      rows.set(fresh.dataset.run, old);
      continue;
    }
    const controls = "a, input", focused = all(controls, old).indexOf(document.activeElement);
    fresh.querySelector("input").checked = old.querySelector("input").checked;
    old.replaceWith(fresh);
    all(controls, fresh)[focused]?.focus({ preventScroll: true });
  }
  order.forEach((id, place) => {
    const row = rows.get(id);
    if (list.children[place] !== row) list.insertBefore(row, list.children[place] ?? null);
  });
  while (list.children.length > order.length) list.lastElementChild.remove();
  show();
};
const connection = one("[data-connection]");
// A browser has few connections to a server: pages that nobody sees leave theirs to others.
let events = null;
const listen = () => {
  events?.close();
  events = null;
  if (document.hidden) return;
  events = new EventSource("/events");
  events.addEventListener("message", take);
  events.addEventListener("open", () => { connection.textContent = "This page keeps itself up to date."; });
  events.addEventListener("error", () => { connection.textContent = "The server does not answer; the page tries again."; });
};
document.addEventListener("visibilitychange", listen);
listen();
show();
