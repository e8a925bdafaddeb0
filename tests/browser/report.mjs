// Opens a report from disk in a real browser and fails when a reader would see something wrong:
//
//     node tests/browser/report.mjs PATH/index.html [--screenshots DIR]
//
// - console errors and warnings of the page, uncaught exceptions, requests to anything but file:, data: and blob:
// - videos that do not load or play; a shared control that does not move all of its videos
// - numbers below a take that do not come, or stay the same while it moves; missing ones that are not told of
// - a slider over training that shows no other take, or a playhead of the curves that does not go along with it
// - serious or critical findings of axe-core, in light and in dark
// - charts whose tools draw nothing else, or that do not come back to what they were; files of them that are empty
// - tables that cannot be sorted
// - sideways scrolling at 390 px
//
// Exit codes and the browser are those of browser.mjs.
//
// What it expects of the page: videos have class "take"; a shared control is [data-player], around the takes
// it drives, with a button [data-action=play] and a range input [data-action=scrub].

import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { TIMEOUT_MS, checkAccessibility, checkWidth, find, launch, report, watch } from "./browser.mjs";

const WIDTHS = [1280, 390];
const SCHEMES = ["light", "dark"];
const PLAY_FOR_MS = 700;

async function main() {
  const { page: file, screenshots } = readArguments();
  const browser = await launch();
  try {
    const context = await browser.newContext({ viewport: { width: WIDTHS[0], height: 900 } });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    watch(page);
    await page.goto(pathToFileURL(file).href, { waitUntil: "load" });

    await checkVideos(page);
    await checkPlayers(page);
    await checkNumbers(page);
    await checkMissingNumbers(context, file);
    await checkCharts(page);
    await checkTables(page);
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const width of WIDTHS) {
        await page.setViewportSize({ width, height: 900 });
        await checkWidth(page, width);
        await checkAccessibility(page, `${colorScheme}, ${width} px`);
        if (screenshots) {
          await page.screenshot({ path: join(screenshots, `${colorScheme}-${width}.png`), fullPage: true });
        }
      }
    }
    await page.setViewportSize({ width: WIDTHS[0], height: 900 });
    await checkTraining(page);
    if (screenshots) await page.screenshot({ path: join(screenshots, "through-training.png"), fullPage: true });
  } finally {
    await browser.close();
  }
}

function readArguments() {
  const { values, positionals } = parseArgs({
    options: { screenshots: { type: "string" } },
    allowPositionals: true,
  });
  if (positionals.length !== 1) throw new Error("usage: report.mjs PATH/index.html [--screenshots DIR]");
  const page = resolve(positionals[0]);
  if (!statSync(page, { throwIfNoEntry: false })?.isFile()) throw new Error(`there is no file ${page}`);
  if (values.screenshots) mkdirSync(values.screenshots, { recursive: true });
  return { page, screenshots: values.screenshots };
}

// Every video, by itself: its metadata loads, and it plays.
async function checkVideos(page) {
  const videos = page.locator("video");
  const count = await videos.count();
  if (count === 0) find("the page has no video");
  for (let index = 0; index < count; index += 1) {
    const problem = await videos.nth(index).evaluate(
      async (video, { playFor, timeout }) => {
        const name = video.currentSrc || video.src || video.querySelector("source")?.src || "(no source)";
        const wait = (condition) =>
          new Promise((done) => {
            const start = performance.now();
            const poll = () => {
              if (condition()) done(true);
              else if (video.error || performance.now() - start > timeout) done(false);
              else setTimeout(poll, 20);
            };
            poll();
          });
        const why = () => (video.error ? `: ${video.error.message || `media error ${video.error.code}`}` : "");
        video.preload = "auto"; // the page may load lazily
        if (!(await wait(() => video.readyState >= HTMLMediaElement.HAVE_METADATA))) {
          return `video ${name} does not load${why()}`;
        }
        if (!(video.videoWidth > 0 && video.duration > 0)) return `video ${name} has no picture or no duration`;
        video.muted = true;
        const before = video.currentTime;
        try {
          await video.play();
        } catch (error) {
          return `video ${name} does not play: ${error.message}`;
        }
        const moved = await wait(() => video.currentTime > before || video.ended);
        await new Promise((done) => setTimeout(done, playFor / 10));
        video.pause();
        video.currentTime = 0;
        return moved ? null : `video ${name} does not move when it plays${why()}`;
      },
      { playFor: PLAY_FOR_MS, timeout: TIMEOUT_MS / 3 },
    );
    if (problem) find(problem);
  }
}

// Every shared control: play moves all of its takes, and scrubbing sets them to the same moment.
async function checkPlayers(page) {
  const players = page.locator("[data-player]");
  const count = await players.count();
  if (count === 0) find("the page has no shared control ([data-player])");
  for (let index = 0; index < count; index += 1) {
    const player = players.nth(index);
    const name = `shared control ${index + 1}`;
    const play = player.locator("[data-action=play]");
    const scrub = player.locator("input[type=range][data-action=scrub]");
    if ((await play.count()) !== 1 || (await scrub.count()) !== 1) {
      find(`${name} needs one [data-action=play] and one input[type=range][data-action=scrub]`);
      continue;
    }
    if ((await player.locator("video.take").count()) === 0) {
      find(`${name} has no video.take inside`);
      continue;
    }
    await setScrub(scrub, 0);
    await settled(player);
    const start = await takes(player);
    await play.click();
    await page.waitForTimeout(PLAY_FOR_MS);
    for (const [take, { time, ended }] of (await takes(player)).entries()) {
      if (!(time > start[take].time || ended)) find(`${name}: play does not move ${start[take].name}`);
    }
    if ((await takes(player)).some(({ paused }) => !paused)) {
      await play.click();
      await page.waitForTimeout(100);
      if ((await takes(player)).some(({ paused }) => !paused)) find(`${name}: a second press does not pause`);
    }
    for (const fraction of [0.5, 0.2]) {
      await setScrub(scrub, fraction);
      await settled(player);
      const now = await takes(player);
      // A take that is shorter than the others stays at its end.
      const longest = Math.max(...now.map(({ time }) => time));
      for (const { name: take, time, duration } of now) {
        if (Math.abs(time - Math.min(longest, duration)) > 0.05) {
          find(`${name}: after scrubbing to ${fraction * 100} %, ${take} is at ${time.toFixed(2)} s, not ${longest.toFixed(2)} s`);
        }
      }
      if (longest === 0) find(`${name}: scrubbing to ${fraction * 100} % moves nothing`);
    }
    await setScrub(scrub, 0);
  }
}

// The numbers below the first take: they come when asked for, and go along with it.
async function checkNumbers(page) {
  const details = page.locator("[data-player] details.thoughts:not([hidden])").first();
  if ((await details.count()) === 0) {
    find("no take has numbers below it (details.thoughts)");
    return;
  }
  if ((await page.locator("iframe").count()) > 0) find("numbers below takes are loaded before anybody asks");
  await details.locator("summary").click();
  try {
    await details.locator("td.number").first().waitFor();
  } catch {
    find(`the numbers below a take do not come: ${await details.innerText()}`);
    return;
  }
  const before = await details.innerText();
  await setScrub(page.locator("[data-action=scrub]").first(), 0.3);
  if ((await details.innerText()) === before) find("the numbers below a take stay the same while it moves");
  await setScrub(page.locator("[data-action=scrub]").first(), 0);
}

// A take whose numbers are missing says so soon.
async function checkMissingNumbers(context, file) {
  const page = await context.newPage();
  await page.route("**/*.numbers.html", (route) => route.abort("failed"));
  await page.goto(pathToFileURL(file).href, { waitUntil: "load" });
  const details = page.locator("[data-player] details.thoughts:not([hidden])").first();
  if ((await details.count()) > 0) {
    await details.locator("summary").click();
    try {
      await details.getByText("missing or damaged").waitFor({ timeout: 5_000 });
    } catch {
      find(`a take whose numbers are missing says: ${await details.innerText()}`);
    }
  }
  await page.close();
}

// Through training: the slider shows one take, and it and the playhead of the curves move each other, by keyboard too.
async function checkTraining(page) {
  const slider = page.locator("[data-action=training]").first();
  if (!(await slider.isVisible())) return;
  const shown = () => page.locator("[data-player] video.take").evaluateAll((videos) => videos.map((video) => video.src).join(" "));
  const playhead = page.locator(".playhead.wide").first();
  const told = () => playhead.getAttribute("aria-valuetext");
  await slider.focus();
  await page.keyboard.press("Home");
  const [first, there] = [await shown(), await told()];
  await page.keyboard.press("ArrowRight");
  if ((await shown()) === first || (await shown()).includes(" ")) find(`the slider over training shows ${await shown()}`);
  if ((await told()) === there) find(`the playhead stays at ${there} when the slider moves`);
  const place = await slider.inputValue();
  await playhead.focus();
  await page.keyboard.press("End");
  if ((await slider.inputValue()) !== (await slider.getAttribute("max"))) find("the slider stays where it is when the playhead moves");
  await playhead.scrollIntoViewIfNeeded();
  const { x, y } = await playhead.boundingBox();
  await page.mouse.move(x + 7, y - 2);
  await page.mouse.down();
  await page.mouse.move(1, y - 2, { steps: 4 });
  await page.mouse.up();
  if (Number(await slider.inputValue()) > Number(place)) find("the playhead cannot be dragged to the beginning");
  await slider.focus();
  await page.keyboard.press("ArrowRight");
}

// Every chart that has its numbers: each tool draws something else, and what was chosen can be taken back. By keyboard
// alone: what a pointer does goes the same ways.
async function checkCharts(page) {
  const figures = page.locator("[data-figure]:has([data-numbers])");
  if ((await figures.count()) === 0) find("the page has no chart with its numbers");
  for (const figure of await figures.all()) {
    const name = await figure.locator("h3").evaluate((title) => title.firstChild.textContent.trim());
    const svg = figure.locator("svg.chart:visible").first();
    const drawing = () => svg.evaluate((chart) => [...chart.querySelectorAll("path, circle, text")].map((shape) => shape.outerHTML).join(""));
    const more = figure.locator("details.more > summary");
    if (await more.count()) await more.press("Enter");
    const press = (title) => figure.locator(`.tools button[title^="${title}"]`).press("Enter");
    const rest = await drawing();
    const changes = async (what, act, back) => {
      await act();
      const drawn = await drawing();
      if (drawn === rest) find(`chart "${name}": ${what} draws nothing else`);
      if (/NaN|Infinity|undefined/.test(drawn)) find(`chart "${name}": ${what} draws what is no number`);
      await back();
      if ((await drawing()) !== rest) find(`chart "${name}": ${what} cannot be taken back`);
    };
    await changes("zooming in", () => press("Zoom in"), () => press("Show the whole chart"));
    await changes("zooming and moving", () => press("Zoom in").then(() => press("Move to the left")), () => press("Show the whole chart"));
    for (const axis of ["horizontal", "vertical"]) {
      const toggle = () => press(`Logarithmic ${axis}`);
      await changes(`a logarithmic ${axis} axis`, toggle, toggle);
    }
    const smoothing = figure.locator(".tools select");
    await changes("smoothing", () => smoothing.selectOption("0.9"), () => smoothing.selectOption("0"));
    const axes = figure.locator("[data-axis]");
    if ((await axes.count()) > 1) await changes("another axis", () => axes.nth(1).press("Enter"), () => axes.first().press("Enter"));
    if (await figure.locator('.tools button[title^="Single"]').count()) {
      await changes("single episodes", () => press("Single"), () => press("Single"));
    }
    // Scrolling to it may otherwise move it under or away from the pointer.
    await page.mouse.move(0, 0);
    await svg.focus();
    await svg.press("ArrowLeft");
    const tip = figure.locator(".tip");
    if (!(await tip.isVisible()) || !/\d/.test(await tip.innerText())) find(`chart "${name}": the arrow keys tell no value`);
    await changes("the plus key", () => svg.press("+"), () => svg.press("0"));
    await svg.press("Escape");
    for (const kind of ["SVG", "CSV"]) {
      const [file] = await Promise.all([page.waitForEvent("download"), figure.locator(".tools button", { hasText: kind }).press("Enter")]);
      const text = readFileSync(await file.path(), "utf8");
      const whole = kind === "SVG" ? /^<svg [^>]*xmlns=.*<path.*<\/svg>$/s.test(text) : text.split("\n").length > 3;
      if (!whole) find(`chart "${name}": its ${kind} file says ${text.slice(0, 80)}`);
    }
    if (await more.count()) await more.press("Enter");
  }
  const toggle = page.locator("[data-toggle-series]").first();
  const series = () => page.locator("[data-group]", { has: toggle }).first().locator("svg.chart:visible path.mean").count();
  const shown = await series();
  await toggle.press("Enter");
  if ((await series()) >= shown) find("the legend hides no line");
  await toggle.press("Enter");
  if ((await series()) !== shown) find("the legend does not show its line again");
}

// Every table that has several rows can be put into another order and back.
async function checkTables(page) {
  for (const table of await page.locator("table:visible:has(.sort)").all()) {
    const button = table.locator(".sort").first();
    const order = () => table.locator("tbody").innerText();
    const before = await order();
    for (let press = 0; press < 3; press += 1) await button.press("Enter");
    if ((await order()) !== before) find(`the table ${await table.locator("caption").innerText()} does not come back to its order`);
  }
}

const takes = (player) =>
  player.locator("video.take").evaluateAll((videos) =>
    videos.map((video) => ({
      name: (video.currentSrc || video.src).split("/").slice(-2).join("/"),
      time: video.currentTime,
      duration: video.duration,
      paused: video.paused || video.ended,
      ended: video.ended,
    })),
  );

const setScrub = (scrub, fraction) =>
  scrub.evaluate((input, at) => {
    const [low, high] = [Number(input.min || 0), Number(input.max || 100)];
    input.value = String(low + at * (high - low));
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }, fraction);

// Waits until no take is seeking; a take that never stops shows as a finding of the check that follows.
async function settled(player) {
  await player.page().waitForTimeout(100);
  await player
    .locator("video.take")
    .evaluateAll(async (videos, timeout) => {
      const start = performance.now();
      while (videos.some((video) => video.seeking) && performance.now() - start < timeout) {
        await new Promise((done) => setTimeout(done, 20));
      }
    }, TIMEOUT_MS / 3);
}

await report("report check", main);
