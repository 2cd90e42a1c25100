// Builds the page into dist/, which is committed and embedded in the gateway.
// Everything is a file of its own: the page's policy allows nothing inline and nothing from elsewhere.
// The output holds no time and no path of the machine that built it: building twice gives the same bytes.

import { brotliCompressSync, constants, gzipSync } from "node:zlib";

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

/** Puts a br and a gz form beside each file that is longer than a packet, so that the gateway never compresses a page. */
function precompressed(): Plugin {
  return {
    name: "precompressed",
    enforce: "post",
    generateBundle: {
      order: "post",
      handler(_options, bundle) {
        for (const file of Object.values(bundle)) {
          const bytes = Buffer.from(file.type === "chunk" ? file.code : file.source);
          if (bytes.length < 1400) continue;
          const params = { [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
          const forms = { br: brotliCompressSync(bytes, { params }), gz: gzipSync(bytes, { level: 9 }) };
          for (const [ending, source] of Object.entries(forms)) {
            this.emitFile({ type: "asset", fileName: `${file.fileName}.${ending}`, source });
          }
        }
      },
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [themeFirst(), precompressed()],
  build: {
    target: "es2023",
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { input: { index: "index.html", theme: "src/theme.ts" } },
  },
  worker: { format: "es" },
  test: { include: ["test/**/*.test.ts"], testTimeout: 20_000 },
} as Parameters<typeof defineConfig>[0]);
