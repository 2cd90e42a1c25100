// Takes the picture of the documents; see src/picture.ts.
import { defineConfig } from "vitest/config";

export default defineConfig({ test: { include: ["src/picture.ts"], testTimeout: 90_000 } });
