// What a page of another origin can do with the gateway, judged by a real browser: a listed page everything that CORS
// allows, any other page nothing, by no way that a browser has.

import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { launch, open } from "./browser.ts";
import { Site } from "./elsewhere.ts";
import { Gateway } from "./gateway.ts";
import { until } from "./lab-page.ts";
import { missing } from "./tools.ts";

describe.skipIf(missing !== undefined)("a page of another origin", () => {
  let browser: Browser;
  let gateway: Gateway;
  let listed: Site;
  let unlisted: Site;
  beforeAll(async () => {
    [browser, listed, unlisted] = await Promise.all([launch(), Site.start(), Site.start()]);
    gateway = await Gateway.start("memory", {
      TIDEWIRE_HTTP__ALLOWED_ORIGINS: JSON.stringify([listed.origin]),
      TIDEWIRE_LIMITS__PUBLISHES_PER_SECOND: "5",
    });
  });
  afterAll(async () => { await Promise.all([browser?.close(), gateway?.stop(), listed?.stop(), unlisted?.stop()]); });

  it.each([false, true])("has no event stream unless it is listed; with credentials: %s", async (withCredentials) => {
    const stream = (page: Page): Promise<string> => page.evaluate(async ([base, withCredentials]) => {
      const source = new EventSource(`${base}sse?topic=stream.a`, { withCredentials: withCredentials === "true" });
      const said = await new Promise<string>((resolve) => {
        source.addEventListener("hello", () => resolve("hello"));
        source.onerror = () => resolve(`error, state ${source.readyState}`);
      });
      source.close();
      return said;
    }, [gateway.base, String(withCredentials)]);
    expect(await stream((await open(browser, listed.origin)).page)).toBe("hello");
    expect(await stream((await open(browser, unlisted.origin)).page)).toBe("error, state 2");
  });

  it("has no WebSocket unless it is listed", async () => {
    const socket = (page: Page): Promise<string> => page.evaluate((base) => {
      const socket = new WebSocket(`${base.replace("https", "wss")}ws`, "tidewire.v1");
      return new Promise<string>((resolve) => {
        socket.onmessage = ({ data }: MessageEvent<string>) => { resolve((JSON.parse(data) as { op: string }).op); socket.close(); };
        socket.onclose = ({ code }) => resolve(`closed with ${code}`);
      });
    }, gateway.base);
    expect(await socket((await open(browser, listed.origin)).page)).toBe("hello");
    expect(await socket((await open(browser, unlisted.origin)).page)).toBe("closed with 1006");
  });

  it("reads no answer unless it is listed, with or without a preflight, with or without credentials", async () => {
    const pages = await Promise.all([listed, unlisted].map(async ({ origin }) => (await open(browser, origin)).page));
    const answers = await Promise.all(pages.map((page) => page.evaluate(async (base) => {
      const asked: [string, RequestInit][] = [
        ["topics/read.a", {}],
        ["topics/read.a", { credentials: "include" }],
        ["poll?topic=read.a", { headers: { "Last-Event-ID": "a,b" } }],
        ["poll?topic=a..b", {}],
        ["poll?topic=read.a", { headers: { Authorization: "Bearer nobody-knows-me" } }],
      ];
      return Promise.all(asked.map(async ([path, init]) => {
        try {
          const answer = await fetch(base + path, init);
          const { code } = (await answer.json()) as { code?: string };
          return `${answer.status} ${code ?? ""}`.trim();
        } catch (error) {
          return (error as Error).name;
        }
      }));
    }, gateway.base)));
    expect(answers[0]).toEqual(["200", "200", "200", "400 bad_topic", "401 unauthorized"]);
    expect(answers[1]).toEqual(Array(5).fill("TypeError"));
  });

  it.each(["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])("publishes no form unless it is listed: %s", async (type) => {
    const topic = (site: string): string => `form.${type.replaceAll("/", "-")}.${site}`;
    const retained = async (page: Page, site: string): Promise<number> => {
      const answer = await page.context().request.get(`${gateway.base}topics/${topic(site)}`);
      return ((await answer.json()) as { retained: number }).retained;
    };
    for (const [name, { origin }] of Object.entries({ listed, unlisted })) {
      const { page } = await open(browser, origin);
      const url = `${gateway.base}topics/${topic(name)}`;
      const answered = page.waitForResponse((response) => response.url() === url && response.request().method() === "POST");
      await page.evaluate(([url, type]) => {
        const form = Object.assign(document.createElement("form"), { method: "post", action: url, enctype: type });
        form.append(Object.assign(document.createElement("input"), { name: "a", value: "b" }));
        document.body.append(form);
        form.submit();
      }, [url, type] as const);
      const status = (await answered).status();
      const stored = await retained(page, name);
      expect([name, status, stored]).toEqual(name === "listed" ? [name, 201, 1] : [name, 403, 0]);
    }
  });

  it("cannot publish without reading the answer, unless it is listed", async () => {
    const { page } = await open(browser, unlisted.origin);
    const beacon = page.waitForResponse((response) => response.url().endsWith("/topics/blind.beacon"));
    const sent = await page.evaluate(async (base) => {
      const answer = await fetch(`${base}topics/blind.fetch`, { method: "POST", mode: "no-cors", body: "1" });
      return [answer.type, navigator.sendBeacon(`${base}topics/blind.beacon`, "2")];
    }, gateway.base);
    expect(sent).toEqual(["opaque", true]);
    expect((await beacon).status()).toBe(403);
    for (const topic of ["blind.fetch", "blind.beacon"]) {
      const answer = await page.context().request.get(`${gateway.base}topics/${topic}`);
      expect(((await answer.json()) as { retained: number }).retained).toBe(0);
    }
  });

  it("cannot show the lab in a frame, nor read what it loads from it", async () => {
    const { page } = await open(browser, listed.origin);
    const shown = await page.evaluate(async (base) => {
      const frame = Object.assign(document.createElement("iframe"), { src: base });
      const loaded = new Promise((resolve) => { frame.onload = resolve; });
      document.body.append(frame);
      await loaded;
      try {
        return frame.contentWindow?.document.title ?? "nothing";
      } catch (error) {
        return (error as Error).name;
      }
    }, gateway.base);
    expect(["nothing", "SecurityError"]).toContain(shown);
    // What it shows is Chromium's own page that says so; its address is told a moment after it was loaded.
    await until(async () => expect(page.frames().at(-1)?.url()).toMatch(/^chrome-error:/));
  });

  it("reads the cursor of a poll and the pause of a 429, if it is listed", async () => {
    const { page } = await open(browser, listed.origin);
    const read = await page.evaluate(async (base) => {
      const poll = await fetch(`${base}poll?topic=pause.a`);
      const post = (): Promise<Response> => fetch(`${base}topics/pause.a`, { method: "POST", body: "1", headers: { "Idempotency-Key": crypto.randomUUID() } });
      const answers = await Promise.all(Array.from({ length: 200 }, post));
      const refused = answers.find(({ status }) => status === 429);
      return [poll.headers.get("tidewire-cursor"), refused?.headers.get("retry-after"), ((await refused?.json()) as { code: string }).code];
    }, gateway.base);
    expect(read).toEqual([expect.stringMatching(/^[\w.-]+$/), "1", "rate_limited"]);
  });
});
