
// ---- The page of a running run: asks its own file for news in a hidden frame, and puts in what has changed. A page from
// disk may not read files, but a frame with the same file may tell its parent what it holds.
{
  const EVERY_MS = 2000, PATIENCE_MS = 15000, QUIET_MS = 90000;
  const partsOf = (root) => new Map(all("[data-part]", root).map((part) => [part.dataset.part, part]));
  // As the parts came, before anything is set up in them.
  const known = new Map([...partsOf(document)].map(([name, part]) => [name, part.outerHTML]));

  // What a reader opens, chooses, scrolls and points at: how it is told, and how it is done again.
  const KEPT = [
    ["details", (details) => details.open, (details, open) => { details.open = open; }],
    ...[["[data-group]", groups], ["[data-figure]", figures], ["table", sortings]].map(([selector, known]) =>
      [selector, (element) => known.get(element)?.tell(), (element, told) => { if (told) known.get(element)?.restore(told); }]),
    [".scroll, pre", (box) => box.scrollLeft, (box, left) => { box.scrollLeft = left; }],
    ["a, button, input, select, summary, [tabindex]", (control) => control === document.activeElement, (control, focused) => { if (focused) control.focus({ preventScroll: true }); }],
  ];
  // Elements by where they stand: the nearest id around them, and their number among their like in there.
  const placed = (part, selector) => {
    const counts = new Map();
    return all(selector, part).map((element) => {
      const around = element.parentElement.closest("[id]")?.id ?? "";
      const number = counts.get(around) ?? 0;
      counts.set(around, number + 1);
      return [`${around} ${number}`, element];
    });
  };
  const replace = (old, fresh) => {
    const player = old.querySelector("[data-player]"), next = fresh.querySelector("[data-player]");
    if (player && next) {
      players.get(player)(next);
      return;
    }
    const kept = KEPT.map(([selector, tell]) => new Map(placed(old, selector).map(([at, element]) => [at, tell(element)])));
    old.replaceWith(fresh);
    setUp(fresh);
    for (const figure of all("[data-figure]", fresh)) figure.dispatchEvent(new CustomEvent("chart-drawn", { bubbles: true }));
    KEPT.forEach(([selector, , redo], kind) => {
      for (const [at, element] of placed(fresh, selector)) if (kept[kind].has(at)) redo(element, kept[kind].get(at));
    });
  };
  // Somebody reads a value off a chart, or has marked words.
  const inUse = (part) => part.querySelector(".tip:not([hidden]), .selection") || (!getSelection().isCollapsed && getSelection().containsNode(part, true));

  // Puts the parts of a newer page in; tells whether some have to wait.
  const update = (page) => {
    const old = partsOf(document);
    const top = [...old.values()].find((part) => part.getBoundingClientRect().bottom > 0);
    const before = top?.getBoundingClientRect().top;
    let last = null, waiting = false;
    for (const [name, fresh] of partsOf(page)) {
      const text = fresh.outerHTML, shown = old.get(name);
      old.delete(name);
      if (!shown) {
        last.after(fresh);
        setUp(fresh);
      } else if (text !== known.get(name)) {
        if (inUse(shown)) {
          waiting = true;
          last = shown;
          continue;
        }
        replace(shown, fresh);
      }
      known.set(name, text);
      // One that is unchanged stays in its own document.
      last = fresh.ownerDocument === document ? fresh : shown;
    }
    for (const [name, part] of old) {
      part.remove();
      known.delete(name);
    }
    document.title = page.title;
    const after = partsOf(document).get(top?.dataset.part)?.getBoundingClientRect().top;
    if (scrollY > 0 && after !== undefined && after !== before) scrollBy({ top: after - before, behavior: "instant" });
    return waiting;
  };

  document.documentElement.style.overflowAnchor = "none";
  let frame = null, timer = 0;
  const later = () => {
    frame?.remove();
    frame = null;
    const live = document.querySelector("[data-written]");
    if (live) {
      const written = Number(live.dataset.written);
      const quiet = live.querySelector("[data-quiet]");
      quiet.hidden = Date.now() - written < QUIET_MS;
      quiet.querySelector("time").textContent = new Date(written).toLocaleTimeString();
    }
    clearTimeout(timer);
    timer = setTimeout(ask, EVERY_MS);
  };
  const ask = () => {
    if (document.hidden) {
      later();
      return;
    }
    // A new frame each time: navigating an old one would fill the browser's history.
    frame = make("iframe", { hidden: "", name: "rushes-live", title: "news of the run", src: location.href.split("#")[0] });
    document.body.append(frame);
    timer = setTimeout(later, PATIENCE_MS);
  };
  addEventListener("message", (event) => {
    if (!frame || event.source !== frame.contentWindow) return;
    const page = new DOMParser().parseFromString(event.data, "text/html");
    // Before its parts move over.
    const over = !page.querySelector("[data-written]");
    const waiting = update(page);
    if (!over || waiting) {
      later();
      return;
    }
    clearTimeout(timer);
    frame.remove();
    frame = null;
  });
  timer = setTimeout(ask, EVERY_MS);
}
