// A small gateway for tests, which can also misbehave on order.
// Shape: an array as the log, plain HTTP on a free port of loopback, /ws /sse /poll /publish as PROTOCOL.md says, and the
// built page when a folder is given. It keeps everything and knows no rights.
// Misbehaviour: `refuseNext`, `dropAfter` (ends a connection inside an event), `mute` and `dropAll`.

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { readFile } from "node:fs/promises";
import type { AddressInfo, Socket } from "node:net";
import { extname, join } from "node:path";
import { WebSocketServer, type WebSocket } from "ws";

import { matches } from "../src/topics.ts";

interface Stored {
  readonly place: number;
  readonly topic: string;
  readonly text: string;
}

interface Subscriber {
  readonly topics: readonly string[];
  place: number;
  readonly send: (stored: Stored) => void;
}

export class TestGateway {
  heartbeatMs = 15_000;
  /** Statuses for the next requests to a transport, in order; the reason is in the problem. */
  readonly refuseNext: number[] = [];
  /** Ends each stream after this many bytes, wherever that is. */
  dropAfter = Number.POSITIVE_INFINITY;
  /** Accepts, and says nothing. */
  mute = false;
  /** The oldest place that is still kept. */
  oldest = 0;
  requests = 0;
  base = "";

  private readonly log: Stored[] = [];
  private readonly subscribers = new Set<Subscriber>();
  private readonly sockets = new Set<Socket>();
  private readonly server: Server;
  private readonly upgrades = new WebSocketServer({ noServer: true });
  private epoch = "e0";

  private constructor(private readonly folder: string | undefined) {
    this.server = createServer((request, response) => void this.answer(request, response));
    this.server.on("connection", (socket: Socket) => {
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
    this.server.on("upgrade", (request: IncomingMessage, socket, head) => {
      if (this.refusal() !== undefined) socket.destroy();
      else this.upgrades.handleUpgrade(request, socket, head, (peer) => this.websocket(queryOf(request), peer));
    });
  }

  static async start(folder?: string, port = 0): Promise<TestGateway> {
    const gateway = new TestGateway(folder);
    await new Promise<void>((resolve) => gateway.server.listen(port, "127.0.0.1", resolve));
    gateway.base = `http://127.0.0.1:${(gateway.server.address() as AddressInfo).port}/`;
    return gateway;
  }

  /** Where the log ends, as a cursor. */
  get head(): string {
    return this.cursor(this.log.length);
  }

  /** Stores an event and gives its id. */
  publish(topic: string, dataJson: string, type?: string): string {
    const place = this.log.length + 1;
    const id = this.cursor(place);
    const typeMember = type === undefined ? "" : `,"type":${JSON.stringify(type)}`;
    const text = `{"id":"${id}","topic":"${topic}","time":${Date.now()}${typeMember},"data":${dataJson}}`;
    this.log.push({ place, topic, text });
    for (const subscriber of [...this.subscribers]) this.feed(subscriber);
    return id;
  }

  /** Drops every connection without a word. */
  dropAll(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.dropAll();
    this.upgrades.close();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** The digit count stands in front of the place, so that ids sort as text. */
  private cursor(place: number): string {
    return `${this.epoch}-${String(place).length}${place}`;
  }

  private placeOf(after: string): number {
    return after === "now" ? this.log.length : after === "start" ? this.oldest : Number(after.slice(after.lastIndexOf("-") + 2));
  }

  private refusal(): number | undefined {
    this.requests++;
    return this.refuseNext.shift();
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname } = new URL(request.url ?? "/", "http://test");
    const query = queryOf(request);
    if (pathname === "/publish") return this.take(request, response);
    if (pathname !== "/sse" && pathname !== "/poll") return this.file(pathname, response);
    const status = this.refusal();
    if (status !== undefined) {
      response.writeHead(status, { "content-type": "application/problem+json", "retry-after": "0" });
      response.end(JSON.stringify({ code: "test", status, detail: `told to answer ${status}` }));
    } else if (pathname === "/sse") this.sse(query, response);
    else this.poll(query, response);
  }

  private subscriberOf(query: URLSearchParams, send: Subscriber["send"]): { subscriber: Subscriber; gap: string | undefined } {
    const after = query.get("after") ?? "now";
    const asked = this.placeOf(after);
    const place = Math.max(asked, this.oldest);
    const topics = query.getAll("topic");
    const gap = asked < this.oldest
      ? JSON.stringify({ topics, after, cursor: this.cursor(place), reason: "evicted" })
      : undefined;
    return { subscriber: { topics, place, send }, gap };
  }

  private feed(subscriber: Subscriber): void {
    for (const stored of this.log.slice(subscriber.place)) {
      subscriber.place = stored.place;
      if (subscriber.topics.some((topic) => matches(topic, stored.topic))) subscriber.send(stored);
    }
  }

  private sse(query: URLSearchParams, response: ServerResponse): void {
    response.writeHead(200, { "content-type": "text/event-stream" });
    if (this.mute) return void response.flushHeaders();
    let left = this.dropAfter;
    const write = (text: string): void => {
      const bytes = Buffer.from(text);
      if (response.destroyed) return;
      response.write(bytes.subarray(0, Math.min(bytes.length, left)), () => { if (left <= 0) response.destroy(); });
      left -= bytes.length;
    };
    const { subscriber, gap } = this.subscriberOf(query, ({ place, text }) => write(`id: ${this.cursor(place)}\ndata: ${text}\n\n`));
    const cursor = query.get("after") === "now" ? this.head : (query.get("after") ?? this.head);
    write(`retry: 20\nevent: hello\nid: ${cursor}\ndata: ${this.hello(cursor, gap)}\n\nevent: hb\ndata: {"cursor":"${cursor}"}\n\n`);
    if (gap !== undefined) write(`event: gap\nid: ${this.cursor(subscriber.place)}\ndata: ${gap}\n\n`);
    this.join(subscriber, response);
  }

  private websocket(query: URLSearchParams, peer: WebSocket): void {
    if (this.mute) return;
    let left = this.dropAfter;
    const send = (text: string): void => {
      left -= text.length;
      if (left > 0) peer.send(text);
      else peer.terminate();
    };
    const { subscriber, gap } = this.subscriberOf(query, ({ text }) => send(text));
    const cursor = query.get("after") === "now" ? this.head : (query.get("after") ?? this.head);
    send(`{"op":"hello",${this.hello(cursor, gap).slice(1)}`);
    if (gap !== undefined) send(`{"op":"gap",${gap.slice(1)}`);
    this.join(subscriber, peer);
  }

  private poll(query: URLSearchParams, response: ServerResponse): void {
    const texts: string[] = [];
    let onEvent = (): void => {};
    const { subscriber, gap } = this.subscriberOf(query, ({ text }) => { texts.push(text); onEvent(); });
    const isImmediate = query.get("after") === "now" || query.get("wait") === "0";
    const finish = (): void => {
      clearTimeout(timer);
      this.subscribers.delete(subscriber);
      if (response.headersSent || response.destroyed) return;
      const body = `{"cursor":"${this.cursor(subscriber.place)}","events":[${texts.join(",")}],"more":false${gap === undefined ? "" : `,"gap":${gap}`}}`;
      const bytes = Buffer.from(body);
      response.writeHead(200, { "content-type": "application/json", "content-length": bytes.length });
      if (bytes.length <= this.dropAfter) response.end(bytes);
      else response.write(bytes.subarray(0, this.dropAfter), () => response.destroy());
    };
    const timer = setTimeout(finish, Number(query.get("wait") ?? "25") * 1000);
    if (this.mute) return clearTimeout(timer);
    this.feed(subscriber);
    if (texts.length > 0 || gap !== undefined || isImmediate) return finish();
    onEvent = finish;
    this.subscribers.add(subscriber);
    response.on("close", finish);
  }

  private join(subscriber: Subscriber, peer: ServerResponse | WebSocket): void {
    this.feed(subscriber);
    this.subscribers.add(subscriber);
    peer.on("close", () => this.subscribers.delete(subscriber));
  }

  private hello(cursor: string, gap: string | undefined): string {
    return JSON.stringify({ session: "s", cursor, resumed: gap === undefined, heartbeat_ms: this.heartbeatMs });
  }

  private async take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const piece of request) body += String(piece);
    const { topic, type } = JSON.parse(body) as { topic: string; type?: string };
    const id = this.publish(topic, body.slice(body.indexOf(`"data":`) + 7, -1), type);
    response.writeHead(201, { "content-type": "application/json" }).end(JSON.stringify({ id, topic }));
  }

  private async file(pathname: string, response: ServerResponse): Promise<void> {
    const name = pathname === "/" ? "index.html" : pathname.slice(1);
    const bytes = this.folder === undefined || name.includes("..") ? undefined
      : await readFile(join(this.folder, name)).catch(() => undefined);
    if (bytes === undefined) return void response.writeHead(404).end();
    response.writeHead(200, {
      "content-type": TYPES[extname(name)] ?? "application/octet-stream",
      "content-security-policy": "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-embedder-policy": "require-corp",
    }).end(bytes);
  }
}

function queryOf(request: IncomingMessage): URLSearchParams {
  return new URL(request.url ?? "/", "http://test").searchParams;
}

const TYPES: Record<string, string> = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };
