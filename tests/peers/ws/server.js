// A plain fan-out with `ws`: what one would write in an afternoon. POST /publish/TOPIC sends its body to all subscribers.
// node server.js PORT CERT KEY
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { WebSocketServer } from "ws";

const [port, cert, key] = process.argv.slice(2);
const topics = new Map();
const subscribers = (topic) => topics.get(topic) ?? topics.set(topic, new Set()).get(topic);

const server = createServer({
  cert: readFileSync(cert),
  key: readFileSync(key),
  minVersion: "TLSv1.3",
  keepAliveTimeout: 0,
});
const websocket = new WebSocketServer({ noServer: true, perMessageDeflate: false });

server.on("upgrade", (request, socket, head) => {
  socket.setNoDelay(true);
  websocket.handleUpgrade(request, socket, head, (client) => {
    const all = subscribers(request.url.slice("/subscribe/".length));
    all.add(client);
    client.on("close", () => all.delete(client));
    client.on("error", () => client.terminate());
  });
});

server.on("request", async (request, response) => {
  const parts = [];
  for await (const part of request) parts.push(part);
  const data = Buffer.concat(parts);
  // Text, as the other servers send it; `ws` frames it for each client, and takes the bytes as they are.
  for (const client of subscribers(request.url.slice("/publish/".length))) client.send(data, { binary: false });
  response.writeHead(201).end();
});

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 }, () => console.log("ready"));
