// ---- Tables: sorted by a column whose title is pressed; once more the other way round, and then as they came.
const sortings = new WeakMap();
const setUpTable = (table) => {
  const FEWEST = 4;
  const body = table.tBodies[0], rows = [...body.rows];
  if (rows.length < FEWEST) return;
  const SECONDS = { h: 3600, min: 60, s: 1 };
  const worth = (cell) => {
    const text = cell.firstChild?.textContent.replaceAll(",", "").replace("−", "-") ?? "";
    const times = [...text.matchAll(/(\d+(?:\.\d+)?) (h|min|s)\b/g)];
    return times.length > 0 ? times.reduce((sum, [, n, unit]) => sum + n * SECONDS[unit], 0) : parseFloat(text);
  };
  const heads = all("thead th", table);
  let column = -1, way = 1;
  const arrange = () => {
    const compare = (a, b) => {
      const [left, right] = [a.cells[column], b.cells[column]];
      if (!heads[column].classList.contains("number")) return way * left.textContent.localeCompare(right.textContent, "en", { numeric: true });
      const [x, y] = [worth(left), worth(right)];
      // What is no number comes last either way.
      return Number.isNaN(x) || Number.isNaN(y) ? Number.isNaN(x) - Number.isNaN(y) : way * (x - y);
    };
    body.append(...(column < 0 ? rows : [...rows].sort(compare)));
    heads.forEach((head, index) => head.setAttribute("aria-sort", index !== column ? "none" : way > 0 ? "ascending" : "descending"));
  };
  heads.forEach((head, index) => {
    const button = make("button", { type: "button", class: "sort", title: "Sort" }, ...head.childNodes);
    // The greatest number first.
    const first = head.classList.contains("number") ? -1 : 1;
    button.addEventListener("click", () => {
      if (column !== index) [column, way] = [index, first];
      else if (way === first) way = -first;
      else column = -1;
      arrange();
    });
    head.append(button);
  });
  sortings.set(table, {
    tell: () => [column, way],
    restore: ([to, by]) => { [column, way] = [to, by]; if (to >= 0) arrange(); },
  });
};
