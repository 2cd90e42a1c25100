// The application behind Pushpin. It holds every subscriber on its topic, as a stream or as a WebSocket over HTTP (GRIP),
// and hands what is posted to /publish/TOPIC to Pushpin, whose control port takes one request for each connection.
// node backend.js PORT CONTROL_PORT
import { createServer, request as ask } from "node:http";

const [port, control] = process.argv.slice(2).map(Number);

// Pushpin's protocols: each event of a WebSocket over HTTP has its length in hexadecimal; "m:" goes on to the client.
const frame = (type, text) => `${type} ${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;

function subscribe(topic, request, body, response) {
  if (request.headers["content-type"] !== "application/websocket-events") {
    response.writeHead(200, { "Content-Type": "text/event-stream", "Grip-Hold": "stream", "Grip-Channel": topic });
    response.end("event: hello\ndata: hello\n\n");
    return;
  }
  response.writeHead(200, { "Content-Type": "application/websocket-events", "Sec-WebSocket-Extensions": "grip" });
  const open = () => {
    const control = JSON.stringify({ type: "subscribe", channel: topic });
    return `OPEN\r\n${frame("TEXT", `c:${control}`)}${frame("TEXT", "m:hello")}`;
  };
  response.end(body.startsWith("OPEN") ? open() : "");
}

function publish(topic, data, response) {
  const formats = { "http-stream": { content: `data: ${data}\n\n` }, "ws-message": { content: data } };
  const body = JSON.stringify({ items: [{ channel: topic, formats }] });
  const headers = { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) };
  const taken = ask({ host: "127.0.0.1", port: control, method: "POST", path: "/publish/", headers, agent: false });
  taken.on("response", (answer) => {
    answer.resume();
    response.writeHead(answer.statusCode === 200 ? 201 : 502, { "Content-Length": 0 }).end();
  });
  taken.on("error", () => response.writeHead(502, { "Content-Length": 0 }).end());
  taken.end(body);
}

const server = createServer({ keepAliveTimeout: 0 }, async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts).toString();
  const [, verb, topic] = request.url.split("/");
  if (verb === "publish") publish(topic, body, response);
  else subscribe(topic, request, body, response);
});

server.listen({ port, host: "127.0.0.1", backlog: 4096 }, () => console.log("ready"));
