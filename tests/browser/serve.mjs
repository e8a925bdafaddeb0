// Opens what `rushes serve` shows in a real browser while a run goes on, and fails when a reader would see something wrong:
//
//     node tests/browser/serve.mjs PROGRAM [--screenshots DIR]
//
// - a new run appears on the open index and its row follows it to its end; ticks and filters stay
// - its report, opened from there, keeps itself up to date too, and its videos can be wound
// - ticked runs are compared on one page
// - console errors, requests elsewhere, accessibility and width, as in report.mjs
//
// Exit codes and the browser are those of browser.mjs.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

import { TIMEOUT_MS, checkAccessibility, checkWidth, find, launch, report, watch } from "./browser.mjs";

const experiment = (name, steps) => ({
  name,
  environment: { id: "CartPole-v1" },
  seeds: [0],
  agents: {
    random: { policy: { type: "random" } },
    ppo: {
      policy: { type: "neural", hidden: [64, 64] },
      training: { algorithm: { name: "ppo" }, schedule: { steps, evaluate_every: 10_000 } },
    },
  },
});

async function main() {
  const { values, positionals } = parseArgs({ options: { screenshots: { type: "string" } }, allowPositionals: true });
  if (positionals.length !== 1) throw new Error("usage: serve.mjs PROGRAM [--screenshots DIR]");
  if (values.screenshots) mkdirSync(values.screenshots, { recursive: true });
  const program = resolve(positionals[0]);
  const folder = mkdtempSync(join(tmpdir(), "rushes-serve-"));
  const output = join(folder, "output");
  const written = (name, steps) => {
    const file = join(folder, `${name}.json`);
    writeFileSync(file, JSON.stringify(experiment(name, steps)));
    return ["run", file, "--output", output, "--plain"];
  };
  for (const name of ["first", "second"]) {
    const { status, stderr } = spawnSync(program, written(name, 20_000));
    if (status !== 0) throw new Error(`a run failed: ${stderr}`);
  }
  const server = spawn(program, ["serve", output, "--port=0"]);
  const browser = await launch();
  let run = null;
  try {
    const address = await new Promise((done, fail) => {
      createInterface({ input: server.stdout }).on("line", done);
      server.on("exit", () => fail(new Error("the server ended")));
    });
    const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
    const open = async (url) => {
      const page = await context.newPage();
      page.setDefaultTimeout(2 * TIMEOUT_MS);
      watch(page, new RegExp(`^(${address}|data:|blob:)`));
      await page.goto(url, { waitUntil: "load" });
      return page;
    };
    const index = await open(address);
    const rows = () => index.locator(".run:not([hidden])").count();
    if ((await rows()) !== 2) find(`the index shows ${await rows()} runs instead of 2`);
    if (await index.locator("[data-compare]").isEnabled()) find("nothing is ticked, and yet something can be compared");
    for (const name of ["first", "second"]) await index.locator(`.run:has(h2:has-text("${name}")) .tick input`).check();
    await index.locator("[data-words]").fill("ppo cartpole");

    run = spawn(program, [...written("third", 800_000), "--jobs=1"]);
    const ended = new Promise((done) => run.on("exit", done));
    const row = index.locator('.run:has(h2:has-text("third"))');
    await row.and(index.locator('[data-state="running"]')).waitFor();
    await row.locator(".spark").waitFor();
    const line = () => row.locator(".spark path").getAttribute("d");
    const before = await line();

    const page = await open(new URL(await row.locator("h2 a").getAttribute("href"), address).href);
    await page.locator("[data-written]").waitFor();
    const news = await page.locator("[data-written]").getAttribute("data-written");
    await page.waitForFunction((old) => document.querySelector("[data-written]")?.dataset.written !== old, news);
    // A page in the background asks for no news.
    await index.bringToFront();
    if ((await line()) === before) find("the curve of the running run stands still");
    for (const colorScheme of ["light", "dark"]) {
      await index.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      for (const width of [390, 1280]) {
        await index.setViewportSize({ width, height: 900 });
        await checkWidth(index, width);
        await checkAccessibility(index, `index, ${colorScheme}, ${width} px`);
        if (values.screenshots) await index.screenshot({ path: join(values.screenshots, `index-${colorScheme}-${width}.png`), fullPage: true });
      }
    }
    if ((await ended) !== 0) find("the run failed");
    await row.and(index.locator('[data-state="finished"]')).waitFor();
    if ((await rows()) !== 3) find("the filter shows another number of runs than match it");
    if ((await index.locator(".tick :checked").count()) !== 2) find("ticks were lost while rows changed");

    await page.bringToFront();
    await page.locator("[data-written]").waitFor({ state: "detached" });
    const wound = await page.locator("video.take").first().evaluate(async (video) => {
      video.preload = "auto";
      if (video.readyState === 0) await new Promise((done) => video.addEventListener("loadedmetadata", done, { once: true }));
      video.currentTime = video.duration / 2;
      await new Promise((done) => video.addEventListener("seeked", done, { once: true }));
      return video.currentTime > 0;
    });
    if (!wound) find("a video of the server cannot be wound");

    await index.locator("[data-compare]").click();
    await index.locator("#takes").waitFor();
    const text = await index.locator(".slate").allTextContents();
    if (text.length !== 2) find(`two runs were ticked, ${text.length} are compared`);
    await checkAccessibility(index, "comparison");
    if (values.screenshots) await index.screenshot({ path: join(values.screenshots, "comparison.png"), fullPage: true });
  } finally {
    run?.kill();
    server.kill();
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

await report("serve check", main);
