// WebSocket.
// Shape: one socket; the subscription stands in its address, so that `hello` already carries the cursor.
// Bound: `FIRST_SIGN_MS` until `hello`; two heartbeats of silence.
// Failure: script never learns why an upgrade was refused; a socket that ends before `hello` is "unreachable".
// Source: PROTOCOL.md section 3.3.

import { byeOf, eventOf, gapOf, helloOf, isFinalClose, membersOf } from "../protocol.ts";
import { addressOf, type Ended, type Sink, type Subscribe, type World } from "../transport.ts";
import { FIRST_SIGN_MS, silenceLimitMs, Watchdog } from "../watchdog.ts";

export function websocket(request: Subscribe, sink: Sink, world: World): Promise<Ended> {
  return new Promise((resolve) => {
    if (request.signal.aborted) {
      resolve({ why: "aborted" });
      return;
    }
    const url = addressOf("ws", request);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new world.WebSocket(url, SUBPROTOCOL);
    let opened = false;
    let retryMs: number | undefined;

    const end = (ended: Ended): void => {
      watchdog.stop();
      request.signal.removeEventListener("abort", abort);
      socket.onmessage = socket.onclose = null;
      socket.close();
      resolve(retryMs === undefined ? ended : { retryMs, ...ended });
    };
    const abort = (): void => end({ why: "aborted" });
    const watchdog = new Watchdog(FIRST_SIGN_MS, () => end({ why: "silent" }), world.now);
    request.signal.addEventListener("abort", abort);

    socket.onmessage = (message: MessageEvent<unknown>): void => {
      const at = world.now();
      watchdog.feed();
      const text = message.data;
      const members = typeof text === "string" ? membersOf(text) : undefined;
      if (typeof text !== "string" || members === undefined) {
        end({ why: "garbled" });
        return;
      }
      const { op } = members;
      if (op === undefined) {
        const event = eventOf(text, members);
        if (event === undefined) end({ why: "garbled", detail: text.slice(0, 80) });
        else sink.event(event, at);
      } else if (op === "hello") {
        const hello = helloOf(members);
        if (hello === undefined) {
          end({ why: "garbled", detail: "hello" });
          return;
        }
        opened = true;
        watchdog.feed(silenceLimitMs(hello.heartbeatMs));
        sink.opened(hello, namesOf(socket), at);
      } else if (op === "gap") {
        const gap = gapOf(members);
        if (gap !== undefined) sink.gap(gap, at);
      } else if (op === "hb") {
        if (typeof members["cursor"] === "string") sink.cursor(members["cursor"]);
      } else if (op === "bye") {
        retryMs = byeOf(members)?.retryMs; // the close frame that follows has the code
      }
    };
    socket.onerror = (): void => {}; // says nothing that `onclose` does not say after it
    socket.onclose = (event): void => {
      if (!opened && event.code === 1006) end({ why: "unreachable" });
      else end({ why: "closed", code: event.code, detail: event.reason, final: isFinalClose(event.code) });
    };
  });
}

/** What was agreed on: subprotocol, and extensions where there are any. */
function namesOf(socket: WebSocket): string {
  return [socket.protocol, socket.extensions.split(";")[0] ?? ""].filter((name) => name !== "").join(" · ");
}

const SUBPROTOCOL = "tidewire.v1";
