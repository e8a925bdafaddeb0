// ---- The playhead of the learning curves stands where training was when the take that the player shows was filmed. It can
// be dragged, or moved by the arrow keys, to every other moment that there is a take of.
{
  const FIGURES = "#training-return, #evaluation-return";
  let shown = null;
  // Charts hold one playhead each, which moves along: whoever drags it or has the focus on it keeps it.
  const headOf = (figure, index, { svg }) => {
    const found = all(".playhead", figure)[index];
    if (found) return found;
    const head = make("div", { class: `playhead ${svg.classList.contains("narrow") ? "narrow" : "wide"}`, tabindex: 0, role: "slider", "aria-label": "Moment of the take in the player" });
    figure.querySelector("[data-drawing]").append(head);
    const to = (event) => {
      const { unit, charts } = figures.get(figure).across(), { place } = charts[index];
      const box = svg.getBoundingClientRect();
      const x = place.back((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width);
      const { at, show } = shown.moments.reduce((a, b) => (Math.abs(b.at[unit] - x) < Math.abs(a.at[unit] - x) ? b : a));
      if (at !== shown.at) show();
    };
    head.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      head.focus({ preventScroll: true });
      head.setPointerCapture(event.pointerId);
      head.addEventListener("pointermove", to);
    });
    for (const end of ["pointerup", "pointercancel"]) head.addEventListener(end, () => head.removeEventListener("pointermove", to));
    head.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
      const here = shown.moments.findIndex(({ at }) => at === shown.at);
      const next = { Home: 0, End: shown.moments.length - 1 }[event.key] ?? here + by;
      if (!Number.isInteger(next)) return;
      event.preventDefault();
      event.stopPropagation();
      shown.moments[next]?.show();
    });
    return head;
  };
  const stand = (figure) => {
    const { unit, charts } = figures.get(figure).across();
    charts.forEach((chart, index) => {
      const head = headOf(figure, index, chart);
      const value = shown?.at?.[unit], x = value === undefined ? NaN : chart.place(value);
      head.hidden = !(x >= chart.left - 0.5 && x <= chart.right + 0.5);
      if (head.hidden) return;
      const { width, height } = chart.svg.viewBox.baseVal;
      Object.assign(head.style, { left: `${x / width * 100}%`, top: `${chart.top / height * 100}%`, height: `${(chart.bottom - chart.top) / height * 100}%` });
      const values = shown.moments.map(({ at }) => at[unit]);
      const told = { min: Math.min(...values), max: Math.max(...values), now: value, text: shown.label };
      for (const [name, is] of Object.entries(told)) head.setAttribute(`aria-value${name}`, is);
      head.title = shown.label;
    });
  };
  document.addEventListener("take-shown", (event) => {
    shown = event.detail;
    for (const figure of all(FIGURES)) stand(figure);
  });
  // Also where a live page has put a new chart in.
  document.addEventListener("chart-drawn", (event) => { if (event.target.matches(FIGURES)) stand(event.target); });
}
