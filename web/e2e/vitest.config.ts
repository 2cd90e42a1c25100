// One file after the other: the tests share few cores with a browser and a gateway.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: { include: ["src/**/*.test.ts"], fileParallelism: false, testTimeout: 90_000, hookTimeout: 60_000 },
});
