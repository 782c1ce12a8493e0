// Walks through the demo with headless Chromium and says in one line of JSON what it found.
//
//   BASE_URL=https://localhost:8443 CA_FILE=<state>/local-ca.pem OUT_DIR=shots node demo.mjs palisade
//   BASE_URL=http://127.0.0.1:4000 OUT_DIR=shots node demo.mjs direct
//
// `palisade` expects the proxy in front: a certificate that the browser itself accepts, request ids,
// and palisade's own page when the app hangs up. `direct` walks the bare app over plain HTTP.
// The browser trusts CA_FILE through a fresh NSS database; certificate errors are never ignored.
// Exit code: 0 all passed, 1 something failed, 2 called wrongly.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const STEP_MS = 10_000;
const TOTAL_MS = 120_000;

const base = process.env.BASE_URL?.replace(/\/+$/, "");
const mode = process.argv[2];
const out = resolve(process.env.OUT_DIR ?? "shots");
const authority = process.env.CA_FILE;
const secure = base?.startsWith("https:");
const proxied = mode === "palisade";
if (!base || !["palisade", "direct"].includes(mode)) {
  console.error("usage: BASE_URL=… [CA_FILE=…] [OUT_DIR=…] node demo.mjs palisade|direct");
  process.exit(2);
}

const program = process.env.CHROMIUM ?? "/usr/bin/chromium";
const home = mkdtempSync(join(tmpdir(), "palisade-browser-"));
mkdirSync(out, { recursive: true });

const results = { base, mode, ok: false, checks: {}, failures: [], screenshots: [] };
const started = performance.now();

function check(name, passed, detail) {
  results.checks[name] = Boolean(passed);
  if (!passed) results.failures.push(detail === undefined ? name : `${name}: ${detail}`);
}

// Called once, whatever happened. Leaving the process also ends the browser: playwright sees to it.
function finish() {
  results.elapsed_ms = Math.round(performance.now() - started);
  results.ok = results.failures.length === 0 && Object.keys(results.checks).length > 0;
  console.log(JSON.stringify(results));
  process.exit(results.ok ? 0 : 1);
}

// Listeners run in order: once more after the launch, when playwright has added the one that ends
// the browser.
const sweep = () => rmSync(home, { recursive: true, force: true, maxRetries: 5 });
process.on("exit", sweep);
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    results.failures.push(`stopped by ${signal}`);
    finish();
  });
}

setTimeout(() => {
  results.failures.push(`not finished within ${TOTAL_MS / 1000} s`);
  finish();
}, TOTAL_MS);

function run(tool, ...args) {
  const { status, stderr, error } = spawnSync(tool, args, { encoding: "utf8", timeout: STEP_MS });
  if (error?.code === "ENOENT") throw new Error(`${tool} is missing: apt-get install libnss3-tools`);
  if (status !== 0) throw new Error(`${tool} ${args[0]} failed: ${error?.message ?? stderr}`);
}

// What `palisade cert trust` does for a Chromium user, in a home directory of its own.
function trust(pem) {
  const database = join(home, ".pki", "nssdb");
  mkdirSync(database, { recursive: true });
  run("certutil", "-N", "--empty-password", "-d", `sql:${database}`);
  run("certutil", "-A", "-d", `sql:${database}`, "-t", "C,,", "-n", "palisade", "-i", pem);
}

async function launch() {
  if (!existsSync(program)) throw new Error(`${program} is missing: apt-get install chromium`);
  const { chromium } = await import("playwright-core").catch(() => {
    throw new Error("playwright-core is missing: npm ci --prefix tests/browser");
  });
  if (authority) trust(resolve(authority));
  const context = await chromium.launchPersistentContext(join(home, "profile"), {
    executablePath: program,
    headless: true,
    handleSIGINT: false,
    handleSIGTERM: false,
    handleSIGHUP: false,
    timeout: 30_000,
    env: { ...process.env, HOME: home },
    viewport: { width: 1100, height: 800 },
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
  process.on("exit", sweep);
  return context;
}

// Listens to everything that must not happen while the app is well.
function watch(page) {
  const heard = { quiet: true, complaints: [], strangers: [] };
  const complain = (text) => { if (heard.quiet) heard.complaints.push(text); };
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complain(message.text());
  });
  page.on("pageerror", (error) => complain(error.message));
  page.on("request", (request) => {
    if (new URL(request.url()).origin !== new URL(base).origin) heard.strangers.push(request.url());
  });
  return heard;
}

async function shoot(page, name) {
  for (const scheme of ["light", "dark"]) {
    for (const [size, width, height] of [["wide", 1100, 800], ["phone", 360, 740]]) {
      await page.emulateMedia({ colorScheme: scheme });
      await page.setViewportSize({ width, height });
      const file = `${name}-${scheme}-${size}.png`;
      await page.screenshot({ path: join(out, file), fullPage: true });
      results.screenshots.push(file);
      if (size === "phone") {
        const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        check(`${name} fits a phone`, overflow <= 0, `${overflow} px too wide`);
      }
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1100, height: 800 });
}

// Waits until the text of an element matches the pattern.
async function readsAs(page, selector, pattern) {
  await page.waitForFunction(
    ([s, p]) => new RegExp(p).test(document.querySelector(s)?.textContent ?? ""),
    [selector, pattern],
    { timeout: STEP_MS },
  );
}

// What the browser shows beside the address: `secure` is the padlock.
async function padlock(context, page) {
  const session = await context.newCDPSession(page);
  const states = [];
  session.on("Security.visibleSecurityStateChanged", (event) => {
    states.push(event.visibleSecurityState.securityState);
  });
  await session.send("Security.enable");
  const until = performance.now() + STEP_MS;
  while (!states.length && performance.now() < until) await page.waitForTimeout(50);
  await session.detach();
  return states.at(-1);
}

async function homePage(context, page) {
  const answer = await page.goto(`${base}/`);
  check("home page loads", answer.status() === 200, answer.status());
  await readsAs(page, "h1", proxied ? "came through palisade" : ".");
  if (secure) {
    const details = await answer.securityDetails();
    results.tls = { protocol: details?.protocol, issuer: details?.issuer, subject: details?.subjectName };
    check("TLS 1.3", details?.protocol === "TLS 1.3", details?.protocol);
    const state = await padlock(context, page);
    check("the padlock is closed", state === "secure", state);
  }
  if (proxied) {
    const shown = await page.textContent("#request-id");
    const sent = (await answer.allHeaders())["x-request-id"];
    check("the app saw the request id of the answer", shown === sent, `${shown} and ${sent}`);
  }
  await shoot(page, "home");
}

async function form(page) {
  await page.goto(`${base}/form`);
  await shoot(page, "form");
  await page.fill("#name", "Ada <b>Lovelace</b>");
  await page.fill("#message", "Grüße\nfrom a browser");
  await page.click("button[type=submit]");
  await page.waitForSelector("#field-name", { timeout: STEP_MS });
  const name = await page.textContent("#field-name");
  check("the form arrives as it was sent", name === "Ada <b>Lovelace</b>", name);
  await shoot(page, "form-sent");
}

async function scripts(page) {
  await page.goto(`${base}/script`);
  await readsAs(page, "#script-ran", "has run");
  await readsAs(page, "#fetched", "answered 200");
  check("the inline script runs and fetches", true);
  await shoot(page, "script");
}

async function webSocket(page) {
  await page.goto(`${base}/websocket`);
  await readsAs(page, "#state", "^open$");
  await page.fill("#text", "héllo");
  await page.click("#send button");
  await readsAs(page, "#log li", "^héllo$");
  await readsAs(page, "#count", "[1-9]");
  check("the WebSocket echoes and counts", true);
  await shoot(page, "websocket");
}

async function events(page) {
  await page.goto(`${base}/stream`);
  await readsAs(page, "#count", "^[1-9]");
  const seen = Number(await page.textContent("#count"));
  const began = performance.now();
  await readsAs(page, "#count", `^${seen + 2}$`);
  const took = Math.round(performance.now() - began);
  // One event a second: a proxy that buffered would deliver them together, or never.
  check("events arrive as they happen", took > 1000 && took < 4000, `two more took ${took} ms`);
  await shoot(page, "events");
}

// The switch and its page answer whatever is broken.
async function turn(page, position) {
  await page.goto(`${base}/fail`);
  await page.click(`form[action="/fail/${position}"] button`);
  await page.waitForLoadState("load");
  await page.waitForSelector(`li.now form[action="/fail/${position}"]`, { timeout: STEP_MS });
}

async function softBreak(page) {
  await turn(page, "on");
  await shoot(page, "switch");
  const answer = await page.goto(`${base}/`);
  check("a broken app answers 500", answer.status() === 500, answer.status());
  await readsAs(page, "h1", "The app failed");
  if (proxied) {
    const id = await page.textContent("#error-request-id");
    check("its error page shows the request id", /^[0-9a-f-]{36}$/.test(id), id);
  }
  await shoot(page, "app-error");
}

async function hardBreak(page) {
  await turn(page, "close");
  if (!proxied) {
    // In a tab of its own: the browser replaces a page that failed with one of its making.
    const other = await page.context().newPage();
    const failure = await other.goto(`${base}/`).then(() => "an answer", (error) => error.message);
    await other.close();
    check("the connection closes without an answer", failure.includes("ERR_EMPTY_RESPONSE"), failure);
    return;
  }
  const answer = await page.goto(`${base}/`);
  check("a closed connection is a 502 page", answer.status() === 502, answer.status());
  const id = (await answer.allHeaders())["x-request-id"];
  const text = await page.innerText("body");
  check("the 502 page shows its request id", id && text.includes(id), id);
  await shoot(page, "palisade-502");
  const problem = await page.evaluate(async () => {
    const reply = await fetch("/", { headers: { accept: "application/json" } });
    return { type: reply.headers.get("content-type"), body: await reply.json() };
  });
  const known = problem.type?.startsWith("application/problem+json") && problem.body.status === 502;
  check("a client that asks for JSON gets a problem document", known, JSON.stringify(problem));
}

async function heal(page) {
  await turn(page, "off");
  const answer = await page.goto(`${base}/`);
  check("a mended app works again", answer.status() === 200, answer.status());
}

async function walk() {
  const context = await launch();
  try {
    context.setDefaultTimeout(STEP_MS);
    const page = context.pages()[0] ?? await context.newPage();
    const heard = watch(page);
    await homePage(context, page);
    await form(page);
    await scripts(page);
    await webSocket(page);
    await events(page);
    check("nothing is written to the console", !heard.complaints.length, heard.complaints.join(" | "));
    heard.quiet = false;
    try {
      await softBreak(page);
      await hardBreak(page);
    } finally {
      await heal(page);
    }
    check("no page asks for anything elsewhere", !heard.strangers.length, heard.strangers.join(" "));
  } finally {
    await context.close();
  }
}

try {
  await walk();
} catch (error) {
  const plain = error.message.replace(/\x1b\[[0-9;]*m/g, "");
  results.failures.push(plain.split("\n").slice(0, 3).join(" "));
}
finish();
