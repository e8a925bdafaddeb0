// Opens the page of a running run from disk and fails when a reader would lose anything while it keeps itself up to date:
//
//     node tests/browser/live.mjs PROGRAM [--screenshots DIR]
//
// - what a reader opened, chose, scrolled to and moved the player to stays; a video that plays goes on
// - new evaluations appear, and in the end the page is that of the finished run
// - console errors, accessibility and width, as in report.mjs
//
// Prints how long after its evaluation a point was on the page. Exit codes and the browser are those of browser.mjs.

import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";

import { TIMEOUT_MS, checkAccessibility, checkWidth, find, launch, report, watch } from "./browser.mjs";

const EXPERIMENT = {
  name: "live",
  environment: { id: "CartPole-v1" },
  seeds: [0],
  agents: {
    random: { policy: { type: "random" } },
    ppo: {
      policy: { type: "neural", hidden: [64, 64] },
      training: {
        algorithm: { name: "ppo" },
        // Longer than any machine takes for what is looked at: the run is ended then.
        schedule: { steps: 50_000_000, evaluate_every: 100_000, record_every: 400_000 },
      },
    },
  },
};

async function main() {
  const { values, positionals } = parseArgs({ options: { screenshots: { type: "string" } }, allowPositionals: true });
  if (positionals.length !== 1) throw new Error("usage: live.mjs PROGRAM [--screenshots DIR]");
  if (values.screenshots) mkdirSync(values.screenshots, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "rushes-live-"));
  const experiment = join(folder, "live.json");
  writeFileSync(experiment, JSON.stringify(EXPERIMENT));
  const run = spawn(resolve(positionals[0]), ["run", experiment, "--output", join(folder, "output"), "--plain", "--jobs=1"]);
  const browser = await launch();
  try {
    const file = await pageOf(run);
    const ended = new Promise((done) => run.on("exit", done));
    const page = await (await browser.newContext({ viewport: { width: 1280, height: 900 } })).newPage();
    page.setDefaultTimeout(4 * TIMEOUT_MS);
    watch(page);
    await page.goto(pathToFileURL(file).href, { waitUntil: "load" });

    await page.locator("#evaluation-return").waitFor();
    await look(page, values.screenshots);

    // What a reader does on the page.
    await page.locator("#training-return [data-axis='1']").click();
    await page.locator("#training-return details", { hasText: "Numbers" }).locator("summary").first().click();
    await page.locator("#settings summary").first().click();
    await page.locator("#training-return .tools button", { hasText: "+" }).click();
    await page.locator("#training-return .tools button", { hasText: "log x" }).click();
    await page.locator("#diagnostics [data-toggle-series]").first().click();
    await page.locator("[data-player]").waitFor();
    await scrub(page, "0.2");
    await page.evaluate(() => scrollTo({ top: document.querySelector("#learning").getBoundingClientRect().top + scrollY - 40, behavior: "instant" }));
    const state = () => page.evaluate(() => ({
      "the place that was scrolled to": document.querySelector("#learning").getBoundingClientRect().top,
      "the axis that was chosen": document.querySelector("#training-return [data-axis='1']").getAttribute("aria-pressed"),
      "the numbers that were opened": document.querySelector("#training-return details[open]") !== null,
      "the settings that were opened": document.querySelector("#settings details").open,
      "the part of the chart": document.querySelector("#training-return [role=status]").textContent,
      "the logarithmic axis": document.querySelector("#training-return .tools [aria-pressed=true]")?.textContent,
      "the line that was hidden": document.querySelector("#diagnostics [data-toggle-series]").getAttribute("aria-pressed"),
      "the place of the player": document.querySelector("[data-action=scrub]").value,
    }));
    const before = await state();

    const latencies = await followed(page, dirname(file), run);
    const after = await state();
    for (const [what, value] of Object.entries(before)) {
      // A browser scrolls by whole pixels.
      const same = typeof value === "number" ? Math.abs(after[what] - value) <= 3 : after[what] === value;
      if (!same) find(`the page lost ${what}: ${value} became ${after[what]}`);
    }
    if (latencies.length < 3) find(`only ${latencies.length} evaluations appeared on the open page`);
    const seconds = latencies.map((ms) => (ms / 1000).toFixed(1));
    console.log(`live check: evaluations were on the page after ${seconds.join(", ")} s`);

    if ((await ended) !== 0) find("the run failed");
    const open = await page.locator("main").evaluate((main) => main.querySelectorAll(".section").length);
    await page.reload();
    const written = await page.locator("main").evaluate((main) => main.querySelectorAll(".section").length);
    if (open !== written) find(`the page that was open has ${open} sections in the end, the file ${written}`);
  } finally {
    run.kill();
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

// The page that the run says one can watch.
function pageOf(run) {
  return new Promise((done, fail) => {
    const said = [];
    createInterface({ input: run.stderr }).on("line", (line) => {
      said.push(line);
      const place = line.match(/^watch it: (.*)$/)?.[1];
      if (place) done(place);
    });
    run.on("exit", () => fail(new Error(`the run ended without a page: ${said.join("; ")}`)));
  });
}

// Ends the run once enough was seen and waits until the page shows that it is over; how long after each evaluation its point was
// there, in milliseconds.
async function followed(page, folder, run) {
  const happened = new Map(), latencies = [];
  let first = true, played = false;
  while (await page.locator("[data-written]").count()) {
    let text = "";
    try {
      text = readFileSync(join(folder, "trials", "ppo--s0", "events.jsonl"), "utf8");
    } catch {
      // has not begun
    }
    for (const [, steps] of text.matchAll(/"steps":(\d+),[^\n]*"event":"evaluation"/g)) {
      if (!happened.has(steps)) happened.set(steps, first ? null : Date.now());
    }
    first = false;
    const latest = await page.evaluate(() => {
      const numbers = document.querySelector("#evaluation-return [data-numbers]");
      return numbers ? JSON.parse(numbers.textContent).lines[0].middle[0][0].at(-1) : 0;
    });
    for (const [steps, at] of happened) {
      if (at !== null && Number(steps) <= latest) {
        latencies.push(Date.now() - at);
        happened.set(steps, null);
      }
    }
    if (latencies.length > 2 && !played) {
      played = true;
      await checkPlaying(page);
      run.kill("SIGINT");
    }
    await page.waitForTimeout(100);
  }
  return latencies;
}

// A video that plays goes on playing over a news or two.
async function checkPlaying(page) {
  const place = await page.locator("[data-action=scrub]").inputValue();
  await page.evaluate(() => { document.querySelector("[data-action=speed]").value = "0.1"; });
  // A click of the test's would scroll.
  await page.evaluate(() => document.querySelector("[data-action=play]").click());
  const time = () => page.locator("video.take").evaluateAll((videos) => Math.max(...videos.map((video) => video.currentTime)));
  const news = () => page.locator("[data-written]").getAttribute("data-written");
  const [start, was] = [await time(), await news()];
  await page.waitForFunction((old) => document.querySelector("[data-written]")?.dataset.written !== old, was);
  await page.waitForTimeout(300);
  if (!((await time()) > start)) find("a video that plays stops when there is news");
  // A short film has come to its end by itself.
  await page.evaluate(() => document.querySelector("[data-action=play][aria-label=Pause]")?.click());
  await scrub(page, place);
}

// Moves the player to a place. The page may replace an element between the moment in which a locator finds it and the one in
// which it is used, so that what changes the page finds and uses its elements at once, here and elsewhere in this file.
function scrub(page, place) {
  return page.evaluate((to) => {
    const control = document.querySelector("[data-action=scrub]");
    control.value = to;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  }, place);
}

async function look(page, screenshots) {
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      await checkWidth(page, width);
      await checkAccessibility(page, `${colorScheme}, ${width} px`);
      if (screenshots) await page.screenshot({ path: join(screenshots, `live-${colorScheme}-${width}.png`), fullPage: true });
    }
  }
}

await report("live check", main);
