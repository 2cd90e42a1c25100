// The worker of one lane: a connection, and notes to the page in batches.

import { now } from "./clock.ts";
import { Connection, type Note } from "./connection.ts";
import { BATCH_MS, type Order } from "./lane.ts";
import type { LaneName } from "./protocol.ts";
import type { Transport } from "./transport.ts";
import { poll } from "./transport/poll.ts";
import { sse } from "./transport/sse.ts";
import { websocket } from "./transport/websocket.ts";

const TRANSPORTS: Record<LaneName, Transport> = { websocket, sse, poll };

let connection: Connection | undefined;
let notes: Note[] = [];
let sentAt = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

self.onmessage = (message: MessageEvent<Order>): void => {
  const order = message.data;
  switch (order.op) {
    case "start": {
      const world = { now, random: Math.random, fetch: self.fetch.bind(self), WebSocket: self.WebSocket };
      connection = new Connection(TRANSPORTS[order.lane], order.plan, tell, world);
      void connection.run();
      break;
    }
    case "cut":
      connection?.cut(order.holdMs);
      break;
    case "resume":
      connection?.resume();
      break;
  }
};

function tell(note: Note): void {
  notes.push(note);
  timer ??= setTimeout(send, Math.max(0, sentAt + BATCH_MS - performance.now()));
}

function send(): void {
  timer = undefined;
  sentAt = performance.now();
  self.postMessage(notes);
  notes = [];
}
