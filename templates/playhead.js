// ---- The playhead of the learning curves stands where training was when the take that the player shows was filmed. It can
// be dragged, or moved by the arrow keys, to every other moment that there is a take of.
{
  let shown = null;
  const nearest = (unit, x) => shown.moments.reduce((a, b) => (Math.abs(b.at[unit] - x) < Math.abs(a.at[unit] - x) ? b : a));
  const stand = (chart, unit) => {
    chart.querySelector(".playhead")?.remove();
    if (!shown?.at) return;
    const [left, right, top, bottom] = chart.dataset.plot.split(" ").map(Number);
    const [min, max] = chart.dataset.x.split(" ").map(Number);
    const place = (value) => left + (value - min) / (max - min) * (right - left);
    const x = place(shown.at[unit]);
    if (!(x >= left && x <= right)) return;
    const head = make("g", {
      class: "playhead", tabindex: 0, role: "slider", "aria-label": "Moment of the take in the player",
      "aria-valuemin": min, "aria-valuemax": max, "aria-valuenow": shown.at[unit], "aria-valuetext": shown.label,
    }, make("title", {}, shown.label), make("line", { x1: x, x2: x, y1: top, y2: bottom }), make("path", { d: `M${x - 7} ${top - 9}h14v7l-7 7l-7 -7z` }));
    chart.append(head);
    const to = (event) => {
      const box = chart.getBoundingClientRect();
      const at = (event.clientX - box.left) / box.width * chart.viewBox.baseVal.width;
      const { at: found, show } = nearest(unit, min + (at - left) / (right - left) * (max - min));
      if (found !== shown.at) show();
    };
    head.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      event.stopPropagation();
      // The playhead is drawn anew wherever it goes: the page follows the pointer.
      const up = () => { removeEventListener("pointermove", to); removeEventListener("pointerup", up); };
      addEventListener("pointermove", to);
      addEventListener("pointerup", up);
    });
    head.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      const place = shown.moments.findIndex(({ at }) => at === shown.at);
      const next = { Home: 0, End: shown.moments.length - 1 }[event.key] ?? place + by;
      if (!Number.isInteger(next)) return;
      event.preventDefault();
      event.stopPropagation();
      if (!shown.moments[next]) return;
      shown.moments[next].show();
      chart.querySelector(".playhead")?.focus({ preventScroll: true });
    });
  };
  const standEverywhere = (root) => {
    for (const source of all("#training-return script.hover, #evaluation-return script.hover", root)) {
      const { unit } = JSON.parse(source.textContent);
      for (const chart of all("svg.chart", source.parentElement)) stand(chart, unit);
    }
  };
  document.addEventListener("take-shown", (event) => {
    shown = event.detail;
    standEverywhere(document);
  });
  // Charts that are drawn anew, by a live page or a zoom, ask for it.
  document.addEventListener("chart-drawn", () => standEverywhere(document));
}
