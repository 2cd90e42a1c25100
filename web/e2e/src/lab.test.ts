// The lab against the real gateway: three lanes, one bus, cuts, publishing, and the way back after a crash.

import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";

import { launch, open, type Opened } from "./browser.ts";
import { Gateway } from "./gateway.ts";
import { complete, figure, figures, LANES, online, publish, publishMany, until } from "./lab-page.ts";
import { missing } from "./tools.ts";

describe.skipIf(missing !== undefined)("the lab", () => {
  let browser: Browser;
  let gateway: Gateway;
  beforeAll(async () => { [browser, gateway] = await Promise.all([launch(), Gateway.start()]); });
  afterAll(async () => { await Promise.all([browser?.close(), gateway?.stop()]); });

  /** A lab on a topic of its own; what went wrong in the page fails the test. */
  async function lab(name: string, run: (opened: Opened, topic: string) => Promise<void>): Promise<void> {
    const topic = `e2e.${name}`;
    const opened = await open(browser, `${gateway.base}?lang=en&topic=${topic}.%3E`);
    await online(opened.page);
    await run(opened, `${topic}.a`);
    expect(opened.troubles).toEqual([]);
  }

  it("shows the same event in all lanes, with the distance to the first", () => lab("same", async ({ page, request }, topic) => {
    const id = await publish(request, gateway.base, { topic, type: "greeting", data: { text: "hello" } });
    const deltas: string[] = [];
    for (const lane of LANES) {
      const row = page.locator(`.lane.${lane} li[data-id="${id}"]`);
      await row.waitFor();
      expect(await row.locator(".topic").textContent()).toBe(topic);
      expect(await row.locator(".type").textContent()).toBe("greeting");
      expect(await row.locator(".data").textContent()).toBe('{"text":"hello"}');
      deltas.push((await row.locator(".delta").textContent()) ?? "");
    }
    expect(deltas).toContain("first");
    for (const delta of deltas) expect(delta).toMatch(/^(first|\+\d+(\.\d+)? ms)$/);
    await complete(page, 1);
    for (const lane of LANES) expect(await page.locator(`.lane.${lane} .facts .mono`).textContent()).toBe(id);
  }));

  it("publishes from its form, and shows when each lane had the event", () => lab("form", async ({ page }, topic) => {
    await page.getByLabel("Topic", { exact: true }).fill(topic);
    await page.getByLabel("Type (optional)").fill("note");
    await page.getByLabel("Data").fill('{"n":1e400}');
    await page.getByRole("button", { name: "Publish", exact: true }).click();
    await complete(page, 1);
    for (const lane of LANES) expect(await page.locator(`.lane.${lane} li .data`).textContent()).toBe('{"n":1e400}');
    await until(async () => expect(await page.locator(".publish .result").textContent()).toMatch(/^201, answered after /));
    await until(async () => expect((await page.locator(".trip dd").allTextContents()).join()).toMatch(/^[\d.]+ ms,[\d.]+ ms,[\d.]+ ms$/));
  }));

  it("shows a refused publish with the gateway's own words", () => lab("refused", async ({ page, troubles }) => {
    await page.getByLabel("Topic", { exact: true }).fill("$reserved.topic");
    await page.getByRole("button", { name: "Publish", exact: true }).click();
    await until(async () => expect(await page.locator(".publish .result").textContent()).toMatch(/^Refused with 403: ./));
    // The browser itself notes every refused request; nothing else may stand there.
    expect(troubles.splice(0).filter((trouble) => !/status of 403/.test(trouble))).toEqual([]);
  }));

  it.each(LANES)("loses nothing when %s is cut and comes back", (lane) => lab(`cut-${lane}`, async ({ page, request }, topic) => {
    await publishMany(request, gateway.base, topic, 3);
    await complete(page, 3);
    await page.locator(`.lane.${lane} .cut`).click();
    await page.locator(`.lane.${lane} .pill[data-phase="cut"]`).waitFor();
    await publishMany(request, gateway.base, topic, 40);
    await until(async () => expect((await figures(page, "received")).sort((a, b) => a - b)).toEqual([3, 43, 43]));
    await page.locator(`.lane.${lane} .note`).getByText("40 behind").waitFor();
    await page.locator(`.lane.${lane} .cut`).click(); // "Resume"
    await complete(page, 43);
    expect(await figure(page, lane, "replayed")).toBe(40);
    expect(await figure(page, lane, "reconnects")).toBe(1);
    expect(await figures(page, "gaps")).toEqual([0, 0, 0]);
    expect(await page.locator(`.lane.${lane} .fact.open`).first().textContent()).toMatch(/^Back after .*resumed by cursor$/);
  }));

  it("loses nothing while all lanes are cut again and again under a running publisher", () => lab("storm", async ({ page, request }, topic) => {
    const rounds = 30;
    for (let round = 0; round < rounds; round++) {
      await publishMany(request, gateway.base, topic, 5);
      await page.locator(`.lane.${LANES[round % 3]} .cut`).click();
    }
    for (const lane of LANES) {
      const button = page.locator(`.lane.${lane} .cut`);
      if ((await button.textContent()) === "Resume") await button.click();
    }
    await complete(page, rounds * 5);
    expect(await page.locator(".alarm:visible").count()).toBe(0);
  }));

  it("comes to a verdict with its number of races", () => lab("verdict", async ({ page, request }, topic) => {
    await until(async () => {
      await publish(request, gateway.base, { topic, data: 1 });
      expect(await page.locator(".verdict .main").textContent()).toMatch(/(is first in \d+ % of \d+ races|level within the uncertainty \(n = \d+\))/);
    });
    expect(await page.locator(".verdict .loss").textContent()).toBe("Nothing missed, nothing doubled.");
  }));

  it("stands still while it is paused, and catches up afterwards", () => lab("pause", async ({ page, request }, topic) => {
    await page.getByRole("button", { name: "Pause" }).click();
    await publishMany(request, gateway.base, topic, 7);
    await page.getByText("Paused. The lanes go on receiving: 21 arrivals not shown yet.").waitFor();
    expect(await figures(page, "received")).toEqual([0, 0, 0]);
    await page.getByRole("button", { name: "Continue" }).click();
    await complete(page, 7);
  }));

  it("watches other topics, and keeps them in its address", () => lab("topics", async ({ page, request }) => {
    await page.getByLabel("Topics or patterns").fill("e2e.x.* e2e.y");
    await page.getByRole("button", { name: "Watch" }).click();
    await online(page);
    expect(new URL(page.url()).searchParams.getAll("topic")).toEqual(["e2e.x.*", "e2e.y"]);
    await publish(request, gateway.base, { topic: "e2e.x.1", data: 1 });
    await publish(request, gateway.base, { topic: "e2e.y", data: 2 });
    await publish(request, gateway.base, { topic: "e2e.x.1.2", data: 3 });
    await publish(request, gateway.base, { topic: "e2e.x.3", data: 4 });
    await complete(page, 3);
    await page.reload();
    await online(page);
    expect(await page.getByLabel("Topics or patterns").inputValue()).toBe("e2e.x.* e2e.y");
  }));

  it("says what is wrong with a pattern", async () => {
    const { page } = await open(browser, `${gateway.base}?lang=en&topic=a..b`);
    await until(async () => expect(await page.locator("#topics-message").textContent()).toMatch(/^The gateway refused \(400\): ./));
    expect(await page.getByLabel("Topics or patterns").getAttribute("aria-invalid")).toBe("true");
  });

  it("helps when nothing arrives, and its commands are right", () => lab("quiet", async ({ page }) => {
    await page.getByRole("heading", { name: "Nothing has arrived on e2e.quiet.> yet" }).waitFor();
    expect(await page.locator(".hint .command:visible code").allTextContents()).toEqual([
      `curl -k -d '{"text":"hello"}' '${gateway.base}topics/e2e.quiet.lab'`,
    ]);
    await page.getByRole("button", { name: "Publish 5 events a second" }).click();
    await page.locator(".hint").waitFor({ state: "hidden" });
    await until(async () => expect(Math.min(...(await figures(page, "received")))).toBeGreaterThan(2));
    await page.getByRole("button", { name: "Stop" }).click();
  }));

  it("can be used with the keyboard alone", () => lab("keys", async ({ page }, topic) => {
    await page.keyboard.press("2");
    await page.locator('.lane.sse .pill[data-phase="cut"]').waitFor();
    await page.keyboard.press("2");
    await page.locator('.lane.sse .pill[data-phase="online"]').waitFor();
    await page.keyboard.press("n");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("typed 1 2 3");
    await page.keyboard.press("Control+Enter");
    await complete(page, 1);
    expect(await page.locator(".lane.poll li .data").textContent()).toBe('"typed 1 2 3"');
    expect(topic).toContain("keys");
    await page.keyboard.press("Tab");
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Publish");
  }));

  it("comes back after the gateway was killed, with nothing lost on disk", async () => {
    const durable = await Gateway.start("disk");
    onTestFinished(() => durable.stop());
    const { page, request } = await open(browser, `${durable.base}?lang=en&topic=e2e.%3E`);
    await online(page);
    await publishMany(request, durable.base, "e2e.a", 10);
    await complete(page, 10);
    await durable.crashAndRestart();
    await publishMany(request, durable.base, "e2e.a", 10);
    await complete(page, 20);
    expect(await figures(page, "gaps")).toEqual([0, 0, 0]);
  });

  it("tells the new beginning when a gateway without a disk was killed", async () => {
    const volatile = await Gateway.start("memory");
    onTestFinished(() => volatile.stop());
    const { page, request } = await open(browser, `${volatile.base}?lang=en&topic=e2e.%3E`);
    await online(page);
    await publishMany(request, volatile.base, "e2e.a", 2);
    await complete(page, 2);
    await volatile.crashAndRestart();
    await publishMany(request, volatile.base, "e2e.a", 3);
    await complete(page, 5);
    expect(await figures(page, "gaps")).toEqual([1, 1, 1]);
    expect(await page.locator(".lane.sse .fact.gap").textContent()).toBe("Gap: the log began anew");
  });
});
