// Builds the page into dist/, which is committed and embedded in the gateway.
// Everything is a file of its own: the page's policy allows nothing inline and nothing from elsewhere.
// The output holds no time and no path of the machine that built it: building twice gives the same bytes.

import { defineConfig, type Plugin } from "vite";

/** Puts the theme script into the head as a classic script, so that it runs before the first paint. */
function themeFirst(): Plugin {
  return {
    name: "theme-first",
    transformIndexHtml: {
      order: "post",
      handler: (_html, { bundle }) => {
        const chunk = Object.values(bundle ?? {}).find((file) => file.type === "chunk" && file.name === "theme");
        if (chunk === undefined) return [];
        return [{ tag: "script", attrs: { src: `./${chunk.fileName}` }, injectTo: "head-prepend" }];
      },
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [themeFirst()],
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { index: "index.html", theme: "src/theme.ts" } },
  },
  worker: { format: "es" },
  test: { include: ["test/**/*.test.ts"], testTimeout: 20_000 },
} as Parameters<typeof defineConfig>[0]);
