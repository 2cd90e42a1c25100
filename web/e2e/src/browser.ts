// Chromium, and a page that remembers everything that went wrong in it.
// A page lives as long as its test; of a test that failed a picture stays in failures/.

import { resolve } from "node:path";

import { chromium, type APIRequestContext, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { onTestFinished } from "vitest";

import { chromiumPath, ROOT } from "./tools.ts";

export async function launch(): Promise<Browser> {
  if (chromiumPath === undefined) throw new Error("no Chromium");
  return chromium.launch({
    executablePath: chromiumPath,
    args: [
      "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
      "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ],
  });
}

export interface Opened {
  readonly page: Page;
  readonly request: APIRequestContext;
  /** Console errors, exceptions and violations of the page's policy, in order. */
  readonly troubles: string[];
}

/** A page in a fresh context at `url`. The gateway's certificate is its own. */
export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(DEADLINE_MS);
  onTestFinished(async ({ task }) => {
    if (task.result?.state === "fail") {
      const name = task.name.replace(/[^\w]+/g, "-");
      await page.screenshot({ path: resolve(ROOT, "web/e2e/failures", `${name}.png`), fullPage: true }).catch(() => {});
    }
    await context.close();
  });
  const troubles: string[] = [];
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") troubles.push(`${message.type()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => troubles.push(`exception: ${error.message}`));
  page.on("dialog", (dialog) => {
    troubles.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await page.addInitScript(() => {
    document.addEventListener("securitypolicyviolation", (event) => {
      console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`);
    });
  });
  await page.goto(url);
  return { page, request: context.request, troubles };
}

/** One generous deadline, which only catches a hang. */
export const DEADLINE_MS = 30_000;
