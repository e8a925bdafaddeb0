// ---- The player: one clock for any number of takes.
const players = new WeakMap();

// What was seen and thought at every frame of a take lies beside it in a page of its own, which a hidden frame loads: a
// page from disk can read no other file. It may be somebody else's, so that it is kept apart from this page.
const PATIENCE_MS_FOR_NUMBERS = 20000;
// Once the frame has loaded, what it posted is on its way; of a file that is not there nothing comes.
const PATIENCE_MS_ONCE_LOADED = 1000;
const loadNumbers = (url) => new Promise((resolve, reject) => {
  const frame = make("iframe", { hidden: "", sandbox: "allow-scripts", title: "numbers of a take", src: url });
  const end = () => { removeEventListener("message", receive); clearTimeout(timer); frame.remove(); };
  const receive = async (event) => {
    if (event.source !== frame.contentWindow) return;
    end();
    try {
      const packed = Uint8Array.from(atob(event.data), (letter) => letter.charCodeAt(0));
      const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
      const { columns } = await new Response(unpacked).json();
      for (const column of columns) {
        let sum = 0;
        column.values = column.deltas.map((delta) => (delta === null ? null : (sum += delta) / 10 ** column.decimals));
        column.low = column.values.reduce((a, b) => Math.min(a, b ?? a), 0);
        column.high = column.values.reduce((a, b) => Math.max(a, b ?? a), 0);
      }
      resolve(columns);
    } catch (error) { reject(error); }
  };
  const giveUp = () => { end(); reject(new Error("the file did not come")); };
  let timer = setTimeout(giveUp, PATIENCE_MS_FOR_NUMBERS);
  frame.addEventListener("load", () => {
    clearTimeout(timer);
    timer = setTimeout(giveUp, PATIENCE_MS_ONCE_LOADED);
  });
  addEventListener("message", receive);
  document.body.append(frame);
});

// The kinds of numbers below a take, in this order.
const KINDS = {
  probability: "Probability of each action", q_value: "Value of each action (Q)", mean: "Mean of the action", value: "Value of the state",
  action: "Action taken", reward: "Reward and its terms", info: "Told by the environment", observation: "Observed",
};
// MuJoCo's environments, and others, tell the terms of their rewards by these names.
const kindOf = ({ kind, name }) => (kind === "info" && name.startsWith("reward") ? "reward" : kind);
const setUpPlayer = (player) => {
  const takes = [];
  const tilesBox = player.querySelector("[data-tiles]");
  const control = (name) => player.querySelector(`[data-action="${name}"]`);
  const [play, scrub, speed, seedPick, setPick] = ["play", "scrub", "speed", "seed", "set"].map(control);
  const clock = player.querySelector("[data-time]");
  const icon = (path) => {
    const svg = make("svg", { viewBox: "0 0 14 14", "aria-hidden": "true" });
    svg.append(make("path", { d: path }));
    return svg;
  };
  const PLAY = "M3 1v12l10-6z", PAUSE = "M3 1h3v12H3zM8 1h3v12H8z";
  control("back").append(icon("M10 1v12L3 7zM1 1h2v12H1z"));
  control("forward").append(icon("M4 1v12l7-6zM11 1h2v12h-2z"));

  // The takes of a player's markup, and the numbers of those that it opens with.
  const read = (markup) => {
    const found = JSON.parse(markup.querySelector("[data-takes]").textContent).takes;
    for (const take of found) {
      take.low = take.trace.reduce((a, b) => Math.min(a, b), 0);
      take.high = take.trace.reduce((a, b) => Math.max(a, b), 0);
    }
    const shown = all("[data-take]", markup).map((tile) => Number(tile.dataset.take));
    // A take inside the page has its address in its video element only.
    for (const tile of all("[data-take]", markup)) found[tile.dataset.take].url ??= tile.querySelector("video").getAttribute("src");
    takes.splice(0, takes.length, ...found);
    return shown;
  };
  let opening = read(player);
  // What lies beside takes, by its address.
  const numbers = new Map();
  const length = (take) => take.frames / take.fps;
  const tiles = [];
  let time = 0, playing = false, duration = 1, lastTick = 0;

  const frameOf = (take, at) => Math.min(Math.max(Math.floor(at * take.fps + 1e-6), 0), take.frames - 1);
  const returnAt = (take, at) => take.trace[Math.min(Math.floor(frameOf(take, at) / take.stride), take.trace.length - 1)];
  // The middle of a frame: its edges round to either side.
  const placeOf = (take, at) => (frameOf(take, at) + 0.5) / take.fps;

  const near = "IntersectionObserver" in window
    ? new IntersectionObserver((entries) => {
      for (const entry of entries) if (entry.isIntersecting) wake(entry.target);
    }, { rootMargin: "300px" })
    : null;
  const wake = (video) => { if (video.preload === "none") { video.preload = "metadata"; video.load(); } };
  const seek = (tile) => {
    const { video, take } = tile;
    if (video.readyState === 0) {
      wake(video);
      video.addEventListener("loadedmetadata", () => { video.currentTime = placeOf(take, time); }, { once: true });
    } else {
      video.currentTime = placeOf(take, time);
    }
  };

  const draw = (tile) => {
    const { take, trace } = tile;
    const shown = tiles.map((other) => other.take);
    const low = Math.min(0, ...shown.map((t) => t.low));
    const high = Math.max(...shown.map((t) => t.high), low + 1e-9);
    const x = (frame) => (frame / take.fps / duration * 1000).toFixed(1);
    const y = (value) => (96 - 92 * (value - low) / (high - low)).toFixed(1);
    let line = "", area = "", episode = 0;
    take.trace.forEach((value, index) => {
      const frame = index * take.stride;
      const first = episode < take.starts.length && frame >= take.starts[episode];
      if (first) {
        if (area) area += `V${y(0)}z`;
        area += `M${x(frame)} ${y(0)}`;
        while (episode < take.starts.length && frame >= take.starts[episode]) episode += 1;
      }
      line += `${first ? "M" : "L"}${x(frame)} ${y(value)}`;
      area += `L${x(frame)} ${y(value)}`;
    });
    trace.querySelector(".line").setAttribute("d", line);
    trace.querySelector(".area").setAttribute("d", area ? `${area}V${y(0)}z` : "");
  };

  const paint = () => {
    scrub.value = time;
    const step = Math.floor(time * (tiles[0]?.take.fps ?? 1) + 1e-6);
    clock.firstElementChild.textContent = `${time.toFixed(2)} s`;
    clock.lastElementChild.textContent = ` · frame ${step}`;
    scrub.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds of ${duration.toFixed(2)}`);
    for (const tile of tiles) {
      const { take, head, caption, now, whole, state } = tile;
      tellNumbers(tile, frameOf(take, time));
      const x = Math.min(time, length(take)) / duration * 1000;
      head.setAttribute("x1", x);
      head.setAttribute("x2", x);
      const rest = !playing && time === 0;
      const last = take.returns.map(write).join(", ");
      caption.textContent = rest ? "final return " : "return so far ";
      now.textContent = rest ? last : write(returnAt(take, time));
      whole.textContent = rest ? "" : ` of ${last}`;
      const ended = time >= length(take) - 0.5 / take.fps;
      const frame = frameOf(take, time);
      const episode = take.starts.filter((start) => start <= frame).length;
      const several = take.starts.length > 1 ? `episode ${episode} of ${take.starts.length}` : "";
      state.textContent = ended ? `ended at ${length(take).toFixed(1)} s` : several;
    }
  };

  // ---- The numbers below a take, where its reader has opened them.
  const layOutNumbers = (tile, columns) => {
    const deviations = columns.filter((column) => column.kind === "std");
    const groups = Object.entries(KINDS).map(([kind, title]) => {
      const of = columns.filter((column) => kindOf(column) === kind);
      const rows = of.map((column, place) => {
        const fill = make("i"), text = make("td", { class: "number" });
        // Probabilities fill their share of the whole, other numbers that of the take's own range.
        const [low, high] = kind === "probability" ? [0, 1] : [column.low, column.high];
        tile.numbers.push({ column, deviation: kind === "mean" ? deviations[place] : undefined, low, high, fill, text });
        const unit = column.unit ? make("small", {}, ` ${column.unit}`) : "";
        return make("tr", {}, make("th", { scope: "row" }, column.name, unit), make("td", { "aria-hidden": "true" }, make("span", { class: "gauge" }, fill)), text);
      });
      return of.length ? make("tbody", {}, make("tr", {}, make("th", { scope: "rowgroup", colspan: 3 }, title)), ...rows) : "";
    });
    tile.thoughts.replaceChildren(make("table", {}, ...groups));
  };
  const openNumbers = async (tile) => {
    const url = tile.take.numbers;
    tile.numbers = [];
    tile.frame = -1;
    tile.details.hidden = !url;
    tile.thoughts.replaceChildren();
    if (!url || !tile.details.open) return;
    tile.thoughts.textContent = "Loading …";
    if (!numbers.has(url)) numbers.set(url, loadNumbers(url));
    const columns = await numbers.get(url).catch(() => null);
    if (tile.take.numbers !== url) return;
    if (columns) {
      tile.numbers = [];
      layOutNumbers(tile, columns);
      tellNumbers(tile, frameOf(tile.take, time));
    } else {
      numbers.delete(url);
      tile.thoughts.textContent = "The file with the numbers is missing or damaged.";
    }
  };
  const tellNumbers = (tile, frame) => {
    if (tile.frame === frame || !tile.numbers.length) return;
    tile.frame = frame;
    for (const { column, deviation, low, high, fill, text } of tile.numbers) {
      const value = column.values[frame];
      const spread = deviation?.values[frame] ?? null;
      text.textContent = value === null ? "–" : (column.meanings?.[value] ?? write(value)) + (spread === null ? "" : ` ± ${write(spread)}`);
      const share = (number) => (number - low) / (high - low || 1) * 100;
      const [from, to] = [share(Math.min(value ?? 0, 0)), share(Math.max(value ?? 0, 0))];
      fill.style.left = `${from}%`;
      fill.style.width = `${to - from}%`;
    }
  };

  const setPlaying = (on) => {
    playing = on;
    play.replaceChildren(icon(on ? PAUSE : PLAY));
    play.setAttribute("aria-label", on ? "Pause" : "Play");
    if (!on) {
      for (const tile of tiles) {
        tile.video.pause();
        // Takes run a frame or two apart while they play; at rest all show the same moment.
        if (tile.video.readyState > 0) seek(tile);
      }
      return;
    }
    if (time >= duration - 0.01) moveTo(0);
    for (const tile of tiles) start(tile);
    lastTick = performance.now();
    requestAnimationFrame(tick);
  };
  const start = (tile) => {
    const { video, take } = tile;
    if (time >= length(take) - 1 / take.fps) return;
    wake(video);
    video.playbackRate = Number(speed.value);
    if (video.readyState > 0 && Math.abs(video.currentTime - time) > 0.04) video.currentTime = time;
    video.play().catch(() => { /* interrupted by a pause, or the file is gone: the others go on */ });
  };
  const tick = (now) => {
    if (!playing) return;
    const rate = Number(speed.value);
    // The longest take leads as long as it plays; a clock of our own otherwise (a video that cannot be played).
    const leader = tiles.reduce((a, b) => (length(b.take) > length(a.take) ? b : a), tiles[0]);
    const led = leader && !leader.video.paused && leader.video.readyState >= 2;
    const waiting = leader && !leader.video.error && leader.video.readyState < 2 && !leader.video.paused;
    if (led) time = Math.max(time, Math.min(leader.video.currentTime, duration));
    else if (!waiting) time += (now - lastTick) / 1000 * rate;
    lastTick = now;
    for (const tile of tiles) {
      const { video, take } = tile;
      const over = time >= length(take) - 0.5 / take.fps;
      if (over && !video.paused) { video.pause(); seek(tile); }
      if (!over && video.paused) start(tile);
      else if (!over && tile !== leader && Math.abs(video.currentTime - time) > 0.15 * Math.max(rate, 1)) video.currentTime = time;
    }
    if (time >= duration - 0.5 / (leader?.take.fps ?? 30) || leader?.video.ended) {
      if (control("loop").checked) { moveTo(0); for (const tile of tiles) start(tile); }
      else { time = duration; setPlaying(false); }
    }
    paint();
    if (playing) requestAnimationFrame(tick);
  };
  const moveTo = (at) => {
    time = Math.min(Math.max(at, 0), duration);
    for (const tile of tiles) {
      seek(tile);
      if (playing && tile.video.paused) start(tile);
    }
    paint();
  };
  const step = (frames) => {
    if (playing) setPlaying(false);
    const fps = tiles[0]?.take.fps ?? 30;
    moveTo((Math.floor(time * fps + 1e-6) + frames) / fps + 1e-6);
  };

  const relayout = () => {
    duration = Math.max(...tiles.map((tile) => length(tile.take)), 0.001);
    scrub.max = duration;
    time = Math.min(time, duration);
    player.classList.toggle("pair", tiles.length > 1);
    for (const tile of tiles) {
      draw(tile);
      tile.remove.hidden = tiles.length < 2;
    }
    paint();
    tellMoment();
  };

  const option = (index) => new Option(takes[index].label, index);
  const fill = (select) => {
    if (select.dataset.full) return;
    select.dataset.full = "1";
    const chosen = select.value;
    select.replaceChildren();
    const groups = new Map();
    takes.forEach((take, index) => {
      if (!groups.has(take.agent)) groups.set(take.agent, make("optgroup", { label: take.agent }));
      groups.get(take.agent).append(option(index));
    });
    select.append(...groups.values());
    select.value = chosen;
  };

  const assign = (tile, index) => {
    const take = takes[index];
    tile.index = index;
    tile.take = take;
    tile.figure.className = `tile ${take.class}`;
    tile.figure.dataset.take = index;
    if (tile.video.getAttribute("src") !== take.url) {
      tile.video.src = take.url;
      tile.video.poster = take.poster;
      tile.video.preload = "metadata";
      tile.video.width = take.width;
      tile.video.height = take.height;
    }
    tile.video.setAttribute("aria-label", take.label);
    tile.who.textContent = take.agent;
    tile.when.textContent = [take.moment, `seed ${take.seed}`, take.rank].filter(Boolean).join(", ");
    if (!tile.select.dataset.full) tile.select.replaceChildren(option(index));
    tile.select.value = index;
    openNumbers(tile);
  };
  const adopt = (figure, index) => {
    const video = figure.querySelector("video");
    // Keyboard and pointer go through the shared control.
    video.removeAttribute("controls");
    figure.querySelector(".result")?.remove();
    const caption = figure.querySelector("figcaption");
    const select = make("select", { "aria-label": "Take" });
    const who = make("span", { class: "who" }), when = make("span", { class: "when" });
    const remove = make("button", { type: "button", "aria-label": "Remove this take", title: "Remove this take" }, "×");
    caption.replaceChildren(make("span", { class: "swatch", "aria-hidden": "true" }), make("span", { class: "pick" }, who, " ", when, select), remove);
    const trace = make("svg", { class: "trace", viewBox: "0 0 1000 100", preserveAspectRatio: "none", "aria-hidden": "true" });
    const head = make("line", { class: "head", y1: 0, y2: 100 });
    trace.append(make("path", { class: "area" }), make("path", { class: "line" }), head);
    const details = make("details", { class: "thoughts" }, make("summary", {}, "What it saw and thought"));
    const thoughts = make("div");
    details.append(thoughts);
    const label = make("span"), now = make("b"), whole = make("span"), state = make("span");
    const readout = make("div", { class: "readout" }, make("span", {}, label, now, whole), state);
    figure.append(trace, readout, details);
    const tile = { figure, video, select, who, when, remove, trace, head, caption: label, now, whole, state, details, thoughts };
    details.addEventListener("toggle", () => openNumbers(tile));
    assign(tile, index);
    tiles.push(tile);
    near?.observe(video);
    for (const event of ["pointerdown", "focus"]) select.addEventListener(event, () => fill(select));
    select.addEventListener("change", () => { assign(tile, Number(select.value)); relayout(); seek(tile); if (playing) start(tile); });
    remove.addEventListener("click", () => {
      tiles.splice(tiles.indexOf(tile), 1);
      figure.remove();
      relayout();
      tiles[0].select.focus();
    });
    video.addEventListener("click", () => setPlaying(!playing));
    trace.addEventListener("click", (event) => {
      const box = trace.getBoundingClientRect();
      moveTo((event.clientX - box.left) / box.width * duration);
    });
    return tile;
  };
  const blank = () => {
    const figure = make("figure", { class: "tile" });
    const video = make("video", { class: "take", preload: "metadata", playsinline: "" });
    video.muted = true;
    figure.append(make("figcaption"), video);
    return figure;
  };
  const add = (index) => {
    const figure = blank();
    tilesBox.append(figure);
    return adopt(figure, index);
  };
  const showSet = (indices) => {
    setPlaying(false);
    while (tiles.length > indices.length) tiles.pop().figure.remove();
    indices.forEach((index, place) => (tiles[place] ? assign(tiles[place], index) : add(index)));
    relayout();
    moveTo(0);
  };

  // Sets of takes to choose from, as far as there is anything in them.
  const pick = (test) => takes.map((_, index) => index).filter((index) => test(takes[index]));
  const subject = () => tiles[0].take;
  const same = (take) => take.agent === subject().agent && take.seed === subject().seed;
  const MOST = 24;
  // Of more than a page shows at a time as many as it does, evenly, the last one among them.
  const sampled = (indices) => (indices.length <= MOST ? indices
    : Array.from({ length: MOST }, (_, place) => indices[Math.round(place * (indices.length - 1) / (MOST - 1))]));
  // The takes of one training, in its order.
  const ORDER = { before: 0, training: 1, during: 1, after: 2 };
  const through = () => pick(same).sort((a, b) => {
    const [x, y] = [takes[a], takes[b]];
    return ORDER[x.when] - ORDER[y.when] || (x.at?.steps ?? 0) - (y.at?.steps ?? 0);
  });
  const best = { "best seed": 0, "median seed": 1, "worst seed": 2 };
  const THROUGH = "through training";
  const sets = {
    "opening takes": () => opening,
    "before and after": () => pick((t) => same(t) && ["before", "after"].includes(t.when)),
    [THROUGH]: () => through().filter((index) => index === tiles[0].index),
    "through training, side by side": () => sampled(through()),
    "all agents, after": () => sampled(pick((t) => t.when === "after" && t.seed === subject().seed)),
    "all seeds, after training": () => sampled(pick((t) => t.agent === subject().agent && t.when === "after")),
    "best, median and worst seed": () => pick((t) => t.agent === subject().agent && t.rank)
      .sort((a, b) => best[takes[a].rank] - best[takes[b].rank]),
  };
  for (const figure of all("[data-take]", tilesBox)) adopt(figure, Number(figure.dataset.take));
  for (const name of Object.keys(sets)) setPick.append(new Option(name, name));
  setPick.addEventListener("change", () => {
    const indices = sets[setPick.value]();
    if (indices.length > 0) showSet(indices);
  });

  // ---- One take through training: the slider chooses which, and so does the playhead of the curves.
  const training = control("training"), moment = player.querySelector("[data-moment]");
  const momentOf = ({ at, moment: name, when }) => {
    const place = at ? `episode ${write(at.episodes)}, step ${write(at.steps)}` : "";
    return when === "during" ? place || name : [name, place].filter(Boolean).join(" · ");
  };
  const showMoment = (index) => {
    const at = time, on = playing;
    setPlaying(false);
    while (tiles.length > 1) tiles.pop().figure.remove();
    assign(tiles[0], index);
    setPick.value = THROUGH;
    relayout();
    moveTo(at);
    if (on) setPlaying(true);
  };
  training.addEventListener("input", () => showMoment(through()[Number(training.value)]));
  const tellMoment = () => {
    const all = through(), take = subject();
    training.disabled = all.length < 3;
    // A page that more takes come to keeps the room for it, so that nothing moves when they do.
    player.querySelector("[data-through]").hidden = training.disabled && !document.querySelector("[data-written]");
    training.max = Math.max(all.length - 1, 1);
    training.value = all.indexOf(tiles[0].index);
    moment.textContent = momentOf(take);
    training.setAttribute("aria-valuetext", momentOf(take));
    document.dispatchEvent(new CustomEvent("take-shown", {
      detail: training.disabled ? null : {
        at: take.at, label: `${take.agent}, seed ${take.seed}, ${momentOf(take)}`,
        // Every moment that there is a take of, and what shows it.
        moments: all.map((index) => ({ at: takes[index].at, show: () => showMoment(index) })).filter(({ at }) => at),
      },
    }));
  };

  const listSeeds = (chosen) => {
    const seeds = [...new Set(takes.map((take) => take.seed))].sort((a, b) => a - b);
    seedPick.replaceChildren(...seeds.map((seed) => new Option(seed, seed)));
    seedPick.value = chosen;
    player.querySelector("[data-seed-label]").hidden = seeds.length < 2;
  };
  listSeeds(tiles[0].take.seed);
  seedPick.addEventListener("change", () => {
    for (const tile of tiles) {
      const is = tile.take;
      const other = takes.findIndex((t) => t.agent === is.agent && t.when === is.when && t.seed === Number(seedPick.value)
        && (t.when !== "during" || t.moment === is.moment));
      if (other >= 0) assign(tile, other);
    }
    relayout();
    moveTo(0);
  });

  play.addEventListener("click", () => setPlaying(!playing));
  control("back").addEventListener("click", () => step(-1));
  control("forward").addEventListener("click", () => step(1));
  control("add").addEventListener("click", () => {
    const shown = new Set(tiles.map((tile) => tile.index));
    const next = takes.findIndex((_, index) => !shown.has(index));
    const tile = add(Math.max(next, 0));
    relayout();
    seek(tile);
    if (playing) start(tile);
    tile.select.focus();
  });
  scrub.addEventListener("input", () => moveTo(Number(scrub.value)));
  speed.addEventListener("change", () => { for (const { video } of tiles) video.playbackRate = Number(speed.value); });
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const on = event.target;
    const typing = on.closest?.("input:not([type=range]), select, textarea, summary, pre, [role=region]");
    const pressing = on.closest?.("button, a") && (event.key === " " || event.key === "Enter");
    const box = player.getBoundingClientRect();
    const seen = box.bottom > 0 && box.top < innerHeight;
    if (typing || pressing || on === training || !(seen || player.contains(on))) return;
    const actions = {
      " ": () => setPlaying(!playing),
      ",": () => step(-1),
      ".": () => step(1),
      ArrowLeft: () => moveTo(time - 1),
      ArrowRight: () => moveTo(time + 1),
      Home: () => moveTo(0),
      End: () => moveTo(duration),
    };
    // Home and End move the page unless the player has the focus.
    if (!actions[event.key] || (["Home", "End"].includes(event.key) && !player.contains(on))) return;
    event.preventDefault();
    actions[event.key]();
  });

  // Takes have been added: what is shown stays, unless it is what the page opened with and nobody has touched it.
  players.set(player, (markup) => {
    const urls = (indices) => indices.map((index) => takes[index].url).join();
    const untouched = !playing && time === 0 && urls(tiles.map((tile) => tile.index)) === urls(opening);
    const shown = tiles.map((tile) => tile.take.url);
    opening = read(markup);
    const now = untouched ? opening : shown.map((url) => takes.findIndex((take) => take.url === url));
    for (const select of all("select[data-full]", player)) delete select.dataset.full;
    now.forEach((index, place) => {
      if (!tiles[place]) { seek(add(index)); return; }
      if (index < 0) return;
      const same = shown[place] === takes[index].url;
      assign(tiles[place], index);
      if (!same) seek(tiles[place]);
    });
    listSeeds(Number(seedPick.value));
    const files = all(".files", player), newFiles = all(".files", markup);
    files.forEach((list, place) => list.replaceChildren(...newFiles[place].childNodes));
    relayout();
    if (playing) for (const tile of tiles) start(tile);
  });

  setPlaying(false);
  relayout();
};
