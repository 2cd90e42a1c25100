// What holds for the page as such: hostile data, both languages, both themes, small screens, accessibility, and the
// browser's own EventSource and WebSocket.

import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

import type { AxeResults } from "axe-core";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { launch, open } from "./browser.ts";
import { Gateway } from "./gateway.ts";
import { complete, LANES, online, publish, publishMany, until } from "./lab-page.ts";
import { missing } from "./tools.ts";

describe.skipIf(missing !== undefined)("the page", () => {
  let browser: Browser;
  let gateway: Gateway;
  beforeAll(async () => { [browser, gateway] = await Promise.all([launch(), Gateway.start()]); });
  afterAll(async () => { await Promise.all([browser?.close(), gateway?.stop()]); });

  it("shows hostile data as text, and runs none of it", async () => {
    const { page, request, troubles } = await open(browser, `${gateway.base}?lang=en&topic=hostile.%3E`);
    await online(page);
    const hostile = '</code><img src=x onerror="globalThis.hit=1"><script>globalThis.hit=1</script>{{7*7}}';
    await publish(request, gateway.base, { topic: "hostile.a", type: "<b onmouseover=hit=1>t</b>", data: { [hostile]: hostile } });
    await publish(request, gateway.base, { topic: "hostile.a", data: "\u202Eevil\u0000\u2028" });
    await complete(page, 2);
    await page.locator("details.table summary").click();
    for (const lane of LANES) {
      const list = page.locator(`.lane.${lane} .events`);
      expect(await list.locator(".data").last().textContent()).toBe(JSON.stringify({ [hostile]: hostile }));
      expect(await list.locator(".type").textContent()).toBe("<b onmouseover=hit=1>t</b>");
      expect(await list.locator("img, script, b").count()).toBe(0);
    }
    expect(await page.evaluate(() => "hit" in globalThis)).toBe(false);
    expect(troubles).toEqual([]);
  });

  it("has a policy that allows nothing inline and nothing from elsewhere, and keeps to it", async () => {
    const { page, troubles } = await open(browser, "about:blank");
    const elsewhere: string[] = [];
    page.on("request", (request) => { if (!request.url().startsWith(gateway.base)) elsewhere.push(request.url()); });
    const response = await page.goto(`${gateway.base}?topic=policy.%3E`);
    expect(response?.headers()["content-security-policy"]).toContain("default-src 'self'");
    await online(page);
    expect(await page.evaluate(() => document.querySelectorAll("script:not([src]), style, [style*='url']").length)).toBe(0);
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
    expect(elsewhere).toEqual([]);
    expect(troubles).toEqual([]);
  });

  it("speaks the browser's language, changes it, and remembers", async () => {
    const { page, troubles } = await open(browser, `${gateway.base}?topic=lang.%3E`, { locale: "zh-TW" });
    await online(page);
    expect(await page.evaluate(() => document.documentElement.lang)).toBe("zh-CN");
    expect(await page.locator("h1").textContent()).toBe("一份日志，三条路通向浏览器");
    expect(await page.locator(".lane.poll h3").textContent()).toBe("长轮询");
    await page.getByRole("button", { name: "English" }).click();
    await until(async () => expect(await page.locator("h1").textContent()).toBe("One log, three ways to the browser"));
    expect(await page.title()).toContain("Tidewire lab");
    expect(new URL(page.url()).searchParams.get("lang")).toBe("en");
    await page.goto(`${gateway.base}?topic=lang.%3E`);
    await online(page);
    expect(await page.evaluate(() => document.documentElement.lang)).toBe("en");
    expect(troubles).toEqual([]);
  });

  it("keeps the chosen theme, from the first paint on", async () => {
    const { page } = await open(browser, `${gateway.base}?lang=en`, { colorScheme: "light" });
    const ground = (): Promise<string> => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await ground();
    await page.getByLabel("Theme").selectOption("dark");
    expect(await ground()).not.toBe(light);
    await page.reload({ waitUntil: "commit" });
    await until(async () => expect(await page.evaluate(() => document.documentElement.dataset["theme"])).toBe("dark"));
    await page.getByLabel("Theme").selectOption("system");
    expect(await ground()).toBe(light);
  });

  const axe = readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
  const variants = ["en", "zh-CN"].flatMap((lang) => (["light", "dark"] as const).flatMap((theme) => [1280, 360].map((width) => ({ lang, theme, width }))));
  it.each(variants)("is accessible and fits: $lang, $theme, $width px", async ({ lang, theme, width }) => {
    const { page, request, troubles } = await open(browser, `${gateway.base}?lang=${lang}&topic=axe.%3E`, {
      colorScheme: theme, viewport: { width, height: 800 }, reducedMotion: "reduce",
    });
    await online(page);
    await publishMany(request, gateway.base, "axe.a.long-topic-name_that=does@not:fit~anywhere", 5);
    await complete(page, 5);
    await page.locator(".lane.sse .cut").click();
    await page.evaluate(() => { for (const details of document.querySelectorAll("details")) details.open = true; });
    await page.locator(".table tbody th").first().waitFor();
    await page.evaluate(await axe);
    const found = await page.evaluate(async () => {
      const { axe } = globalThis as unknown as { axe: { run(): Promise<AxeResults> } };
      return (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
    });
    expect(found).toEqual([]);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(width);
    expect(troubles).toEqual([]);
  });

  it("can be read at twice the size", async () => {
    const { page } = await open(browser, `${gateway.base}?lang=en&topic=zoom.%3E`, { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 });
    await online(page);
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBe(640);
  });

  it("lets the browser's own EventSource and WebSocket have the same bytes", async () => {
    const { page, request, troubles } = await open(browser, `${gateway.base}?lang=en&topic=native.%3E`);
    await online(page);
    await page.evaluate(() => {
      const seen = { stream: [] as string[], socket: [] as string[], hello: [] as string[], protocol: "" };
      Object.assign(globalThis, { seen });
      const stream = new EventSource("/sse?topic=native.%3E");
      stream.addEventListener("hello", () => seen.hello.push("stream"));
      stream.onmessage = (event: MessageEvent<string>) => seen.stream.push(`${event.lastEventId} ${event.data}`);
      const socket = new WebSocket(`wss://${location.host}/ws?topic=native.%3E`, "tidewire.v1");
      socket.onmessage = (event: MessageEvent<string>) => {
        const frame = JSON.parse(event.data) as { op?: string; id?: string };
        seen.protocol = socket.protocol;
        if (frame.op === "hello") seen.hello.push("socket");
        else if (frame.op === undefined) seen.socket.push(`${frame.id} ${event.data}`);
      };
    });
    const seen = (): Promise<{ stream: string[]; socket: string[]; hello: string[]; protocol: string }> =>
      page.evaluate(() => (globalThis as unknown as { seen: never }).seen);
    await until(async () => expect((await seen()).hello.sort()).toEqual(["socket", "stream"]));
    for (const data of ['"潮🌊\\u2028\\n"', "1e400", '{"b":1,"a":[1.10]}'])
      await request.post(`${gateway.base}topics/native.a`, { data: Buffer.from(data), headers: { "content-type": "application/json" } });
    await until(async () => expect((await seen()).stream).toHaveLength(3));
    await until(async () => expect((await seen()).socket).toEqual((await seen()).stream));
    expect((await seen()).stream[1]).toContain('"data":1e400');
    expect((await seen()).protocol).toBe("tidewire.v1");
    expect(troubles).toEqual([]);
  });
});
