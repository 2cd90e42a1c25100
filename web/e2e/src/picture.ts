// Takes the picture of the lab for the documents: real figures of this machine, one lane just back from a cut.
// Run by `npm run picture`; it needs the machine example (cargo build --release --example machine) beside the gateway.

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";

import { expect, it, onTestFinished } from "vitest";

import { launch, open } from "./browser.ts";
import { Gateway } from "./gateway.ts";
import { figure, online, until } from "./lab-page.ts";
import { binary, ROOT } from "./tools.ts";

/** Only what says nothing about the machine's owner. */
const TOPICS = ["machine.cpu.*", "machine.net.*", "machine.memory"];
const PICTURE_MAX_BYTES = 300_000;

it("takes the picture", async () => {
  const machine = process.env["TIDEWIRE_MACHINE"] ?? resolve(dirname(binary ?? ""), "examples/machine");
  if (!existsSync(machine)) throw new Error(`no machine example at ${machine}: cargo build --release --example machine`);
  const [browser, gateway] = await Promise.all([launch(), Gateway.start()]);
  onTestFinished(async () => { await Promise.all([browser.close(), gateway.stop()]); });
  const feeder = spawn(machine, ["--url", gateway.base.replace(/\/$/, ""), "--insecure"], { stdio: "ignore" });
  onTestFinished(() => { feeder.kill(); });

  const query = TOPICS.map((topic) => `topic=${encodeURIComponent(topic)}`).join("&");
  const { page, troubles } = await open(browser, `${gateway.base}?lang=en&theme=light&${query}`, { viewport: { width: 1280, height: 860 } });
  await online(page);
  await until(async () => expect(await page.locator(".verdict .main").textContent()).toMatch(/is first in|n = /));
  await page.locator(".lane.sse .cut").click();
  await page.mouse.move(0, 0);
  await until(async () => expect(await figure(page, "sse", "replayed")).toBeGreaterThan(10));
  const back = await figure(page, "sse", "received");
  await until(async () => expect(await figure(page, "sse", "received")).toBeGreaterThan(back + 30));

  const path = resolve(ROOT, "web/lab/picture.png");
  await page.screenshot({ path });
  expect((await stat(path)).size).toBeLessThan(PICTURE_MAX_BYTES);
  expect(troubles).toEqual([]);
});
