// A site of another origin, whose only page is empty: what it may do with the gateway is tried from the test.
// Failure: a port that cannot be had is an error of the start.

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export class Site {
  private constructor(private readonly server: Server) {}

  static async start(): Promise<Site> {
    const server = createServer((_, response) => {
      response.setHeader("content-type", "text/html");
      response.end("<!doctype html><title>elsewhere</title><link rel=icon href=data:,>");
    });
    await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
    return new Site(server);
  }

  /** As the browser calls it in `Origin`. A loopback origin is a secure context, also without TLS. */
  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}
