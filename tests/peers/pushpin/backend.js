// The application behind Pushpin: holds every request on its topic, as a stream or as a WebSocket over HTTP (GRIP).
// node backend.js PORT
import { createServer } from "node:http";

const [port] = process.argv.slice(2);

// https://pushpin.org/docs/protocols: events of the WebSocket, each with its length in hexadecimal.
const frame = (type, text) => `${type} ${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

const server = createServer({ keepAliveTimeout: 0 }, async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts).toString();
  const topic = request.url.slice("/subscribe/".length);

  if (request.headers["content-type"] !== "application/websocket-events") {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Grip-Hold": "stream", "Grip-Channel": topic });
    return response.end("event: hello\ndata: hello\n\n");
  }
  response.writeHead(200, { "Content-Type": "application/websocket-events", "Sec-WebSocket-Extensions": "grip" });
  if (!body.startsWith("OPEN")) return response.end();
  const subscribe = JSON.stringify({ type: "subscribe", channel: topic });
  response.end(`OPEN\r\n${frame("TEXT", `c:${subscribe}`)}${frame("TEXT", "m:hello")}`);
});

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 }, () => console.log("ready"));
