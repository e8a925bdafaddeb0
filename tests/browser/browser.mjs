// What the checks in a real browser share: the browser, what they watch, and how they end.
//
// Exit codes: 0 nothing found, 1 findings (one line each), 2 the check could not run.
// The browser is $CHROMIUM, or the first Chromium or Chrome on the PATH.

import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, join } from "node:path";

const BROWSERS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const BROWSER_ARGS = [
  "--no-sandbox", // Chromium refuses to run as root otherwise, and CI often is root
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--autoplay-policy=no-user-gesture-required",
];
export const TIMEOUT_MS = 15_000;

const findings = new Set();
export const find = (text) => findings.add(text);

// Runs a check and ends the process with what it found.
export async function report(name, check) {
  try {
    await check();
  } catch (error) {
    console.error(`${name}: ${error.message}`);
    process.exitCode = 2;
  }
  for (const finding of findings) console.error(`${name}: ${finding}`);
  if (process.exitCode || findings.size > 0) process.exit(process.exitCode ?? 1);
  console.log(`${name}: nothing found`);
}

export async function launch() {
  const { chromium } = await import("playwright-core");
  return chromium.launch({ executablePath: findBrowser(), args: BROWSER_ARGS });
}

function findBrowser() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    for (const name of BROWSERS) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not here; the next one
      }
    }
  }
  const inApplications = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome";
  if (statSync(inApplications, { throwIfNoEntry: false })) return inApplications;
  throw new Error("no Chromium or Chrome found: run ./bootstrap --tests, or set CHROMIUM");
}

// Notes what goes wrong on a page that may load what `allowed` matches.
export function watch(page, allowed = /^(file|data|blob):/) {
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) find(`console ${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => find(`uncaught exception: ${error.message}`));
  page.on("request", (request) => {
    if (!allowed.test(request.url())) find(`request to the network: ${request.url()}`);
  });
  page.on("requestfailed", (request) => {
    // A browser drops a video's transfer as soon as it has buffered enough; checkVideos sees real failures.
    if (request.failure()?.errorText !== "net::ERR_ABORTED") {
      find(`failed to load ${request.url()}: ${request.failure()?.errorText}`);
    }
  });
}

export async function checkWidth(page, width) {
  const overflow = await page.evaluate(() => {
    const page = document.documentElement;
    if (page.scrollWidth <= page.clientWidth) return null;
    const wide = [...document.body.querySelectorAll("*")].filter(
      (element) => element.getBoundingClientRect().right > page.clientWidth + 1,
    );
    const name = wide.slice(0, 3).map((e) => e.tagName.toLowerCase() + (e.className ? `.${e.getAttribute("class")}` : ""));
    return `${page.scrollWidth} px wide (${name.join(", ")})`;
  });
  if (overflow) find(`the page scrolls sideways at ${width} px: it is ${overflow}`);
}

export async function checkAccessibility(page, where) {
  const source = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(source);
  const violations = await page.evaluate(async () => (await window.axe.run(document)).violations);
  for (const { id, impact, help, nodes } of violations) {
    if (impact !== "serious" && impact !== "critical") continue;
    const targets = nodes.slice(0, 3).map((node) => node.target.join(" "));
    find(`accessibility (${where}): ${id}, ${impact}: ${help}: ${targets.join(", ")} (${nodes.length} in all)`);
  }
}
