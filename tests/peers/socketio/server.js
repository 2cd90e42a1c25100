// Socket.IO with a room for each topic. POST /publish/TOPIC emits its body to the room.
// node server.js PORT CERT KEY
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { Server } from "socket.io";

const [port, cert, key] = process.argv.slice(2);
const server = createServer({
  cert: readFileSync(cert),
  key: readFileSync(key),
  minVersion: "TLSv1.3",
  keepAliveTimeout: 0,
});
// Compression is off by default. Only what is measured is offered.
const io = new Server(server, { transports: ["websocket"], serveClient: false });

// Its page on performance: the first request is not needed any more, and takes memory.
io.engine.on("connection", (socket) => {
  socket.request = null;
});

io.on("connection", (socket) => {
  socket.join(socket.handshake.auth.topic);
});

// After Socket.IO's own listener, which answers for `/socket.io/`.
server.on("request", async (request, response) => {
  if (!request.url.startsWith("/publish/")) return;
  const parts = [];
  for await (const part of request) parts.push(part);
  io.to(request.url.slice("/publish/".length)).emit("event", Buffer.concat(parts).toString());
  response.writeHead(201).end();
});

server.listen({ port: Number(port), host: "127.0.0.1", backlog: 4096 }, () => console.log("ready"));
