// What these tests need from outside: the gateway's binary and a Chromium.
// Failure: without one of them the tests are skipped with a loud line; where `CI` is set, they fail.

import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's root. */
export const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "../../..");

function firstOf(candidates: readonly (string | undefined)[]): string | undefined {
  return candidates.find((path) => path !== undefined && path !== "" && existsSync(path));
}

/** The gateway: `TIDEWIRE_BIN`, or the release build, or the debug build. */
export const binary = firstOf(
  process.env["TIDEWIRE_BIN"] === undefined
    ? [resolve(ROOT, "target/release/tidewire"), resolve(ROOT, "target/debug/tidewire")]
    : [process.env["TIDEWIRE_BIN"]],
);

/** The browser: `CHROMIUM`, or where packages put it. The program itself: Debian's wrapper prints shell errors. */
export const chromiumPath = firstOf(
  process.env["CHROMIUM"] === undefined
    ? ["/usr/lib/chromium/chromium", "/usr/lib/chromium-browser/chromium-browser", "/usr/bin/chromium", "/usr/bin/google-chrome"]
    : [process.env["CHROMIUM"]],
);

export const missing: string | undefined =
  binary === undefined ? "the gateway's binary (cargo build --release, or TIDEWIRE_BIN)"
  : chromiumPath === undefined ? "Chromium (apt-get install chromium, or CHROMIUM)"
  : undefined;

if (missing !== undefined) {
  const line = `browser tests need ${missing}`;
  if (process.env["CI"] !== undefined) throw new Error(line);
  console.warn(`\n*** SKIPPED: ${line} ***\n`);
}
