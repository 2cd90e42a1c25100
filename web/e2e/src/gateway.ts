// The real gateway, as a child process on a free port of loopback, with a folder of its own.
// Failure: a gateway that does not say `ready` within the deadline is an error that shows what it said instead.

import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { binary } from "./tools.ts";

type Settings = Readonly<Record<`TIDEWIRE_${string}`, string>>;

export class Gateway {
  /** With a slash at the end. */
  base = "";
  private child: ChildProcess | undefined;

  private constructor(
    private readonly folder: string,
    private readonly engine: "memory" | "disk",
    private readonly settings: Settings,
  ) {}

  /** `settings` are keys of the configuration, as they are written in the environment. */
  static async start(engine: "memory" | "disk" = "memory", settings: Settings = {}): Promise<Gateway> {
    const gateway = new Gateway(await mkdtemp(join(tmpdir(), "tidewire-e2e-")), engine, settings);
    await gateway.run("127.0.0.1:0");
    return gateway;
  }

  /** Ends the process at once, without a farewell, and starts it again at the same address. */
  async crashAndRestart(): Promise<void> {
    await this.end("SIGKILL");
    await this.run(new URL(this.base).host);
  }

  async stop(): Promise<void> {
    await this.end("SIGKILL");
    await rm(this.folder, { recursive: true, force: true });
  }

  private async run(listen: string): Promise<void> {
    if (binary === undefined) throw new Error("no gateway");
    const child = spawn(
      binary,
      ["serve", "--listen", listen, "--admin", "127.0.0.1:0", "--engine", this.engine, "--data-dir", this.folder],
      { stdio: ["ignore", "pipe", "pipe"], cwd: this.folder, env: { ...environment(), ...this.settings } },
    );
    this.child = child;
    const said: string[] = [];
    child.stderr.on("data", (piece: Buffer) => said.push(piece.toString()));
    const ready = new Promise<string>((resolve, reject) => {
      const deadline = setTimeout(() => reject(new Error(`not ready in time: ${said.join("")}`)), READY_MS);
      child.on("exit", (code) => reject(new Error(`ended with ${code}: ${said.join("")}`)));
      createInterface(child.stdout).on("line", (line) => {
        const found = /^ready (https?:\/\/\S+)/.exec(line);
        if (found?.[1] === undefined) return;
        clearTimeout(deadline);
        resolve(found[1]);
      });
    });
    this.base = `${(await ready).replace(/\/$/, "")}/`;
  }

  private async end(signal: NodeJS.Signals): Promise<void> {
    const { child } = this;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await exited;
  }
}

/** The environment without the gateway's settings: every `TIDEWIRE_…` is one. The folder of the page may be passed on. */
function environment(): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("TIDEWIRE_") || name === "TIDEWIRE_HTTP__WEB_DIR");
  return { ...Object.fromEntries(kept), TIDEWIRE_LOG: "warn" };
}

const READY_MS = 30_000;
