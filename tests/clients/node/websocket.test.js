// npm `ws` as a plain client of `/ws`. Source: protocol section 3.3.
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import WebSocket from 'ws'
import { Gateway, Inbox, freshTopic, within } from './gateway.js'

let gateway
before(async () => (gateway = await Gateway.start('memory')))
after(() => gateway.dispose())

/** A socket whose frames lie in an inbox, and its hello. */
async function open(query = '', protocols = ['tidewire.v1'], options = {}) {
  const socket = new WebSocket(`${gateway.wsUrl}/ws${query}`, protocols, { ca: gateway.ca, ...options })
  const frames = new Inbox()
  socket.on('message', (data, isBinary) => {
    assert.equal(isBinary, false)
    const frame = JSON.parse(data.toString())
    if (frame.op !== 'hb') frames.put(frame)
  })
  await within(once(socket, 'open'), 'open')
  const hello = await frames.take('hello')
  assert.equal(hello.op, 'hello')
  return { socket, frames, hello }
}

/** Sends a frame and takes the next one. */
function ask({ socket, frames }, frame) {
  socket.send(JSON.stringify(frame))
  return frames.take(`answer to ${frame.op}`)
}

test('the server says hello first and speaks tidewire.v1', async () => {
  const { socket, hello } = await open()
  assert.equal(socket.protocol, 'tidewire.v1')
  assert.equal(hello.resumed, false)
  assert.match(hello.cursor, /^[A-Za-z0-9._-]{1,64}$/)
  socket.terminate()
})

test('a client that offers no subprotocol is served all the same', async () => {
  const { socket } = await open('', [])
  assert.equal(socket.protocol, '')
  socket.terminate()
})

for (const perMessageDeflate of [true, false]) {
  test(`large events arrive whole with permessage-deflate offered: ${perMessageDeflate}`, async () => {
    const topic = freshTopic()
    const { socket, frames } = await open(`?topic=${topic}`, ['tidewire.v1'], { perMessageDeflate })
    const data = 'Gezeiten '.repeat(6000)
    const id = await gateway.publish(topic, data)
    const event = await frames.take('event')
    assert.equal(event.id, id)
    assert.equal(event.data, data)
    socket.terminate()
  })
}

test('subscribe, events, unsubscribe, publish, ping', async () => {
  const topic = freshTopic()
  const connection = await open()
  const subscribed = await ask(connection, { op: 'subscribe', ref: 1, topics: [`${topic}.*`] })
  assert.equal(subscribed.op, 'ok')
  assert.equal(subscribed.ref, 1)

  const id = await gateway.publish(`${topic}.a`, { total: 42 })
  const event = await connection.frames.take('event')
  assert.equal(event.id, id)
  assert.deepEqual(event.data, { total: 42 })

  assert.deepEqual(await ask(connection, { op: 'unsubscribe', ref: 2, topics: [`${topic}.*`] }), { op: 'ok', ref: 2 })
  const published = await ask(connection, { op: 'publish', ref: 3, topic: `${topic}.a`, data: 1 })
  assert.equal(published.op, 'ok')
  assert.ok(published.id > id)
  assert.deepEqual(await ask(connection, { op: 'ping', ref: 4 }), { op: 'pong', ref: 4 })
  connection.socket.terminate()
})

test('a terminated socket resumes by the last id that it saw', async () => {
  const topic = freshTopic()
  const first = await open(`?topic=${topic}`)
  const ids = []
  for (let number = 0; number < 5; number += 1) ids.push(await gateway.publish(topic, number))
  assert.equal((await first.frames.take('event')).id, ids[0])
  const { id: last } = await first.frames.take('event')
  first.socket.terminate()

  const second = await open(`?topic=${topic}&after=${last}`)
  assert.equal(second.hello.resumed, true)
  const rest = []
  for (let number = 0; number < 3; number += 1) rest.push((await second.frames.take('event')).id)
  assert.deepEqual(rest, ids.slice(2))
  second.socket.terminate()
})

test('a wrong frame is answered with an error and the connection stays', async () => {
  const connection = await open()
  const error = await ask(connection, { op: 'subscribe', ref: 1, topics: ['a..b'] })
  assert.equal(error.op, 'error')
  assert.equal(error.code, 'bad_topic')
  assert.equal((await ask(connection, { op: 'ping', ref: 2 })).op, 'pong')
  connection.socket.terminate()
})

test('a frame that is no object closes with 4000', async () => {
  const { socket } = await open()
  socket.send('[]')
  const [code] = await within(once(socket, 'close'), 'close')
  assert.equal(code, 4000)
})

test('a bad query is refused before the 101, with a problem', async () => {
  const socket = new WebSocket(`${gateway.wsUrl}/ws?topic=a..b`, { ca: gateway.ca })
  const [, answer] = await within(once(socket, 'unexpected-response'), 'refusal')
  let body = ''
  for await (const chunk of answer) body += chunk
  assert.equal(answer.statusCode, 400)
  assert.equal(JSON.parse(body).code, 'bad_topic')
})

test('a close is answered in kind', async () => {
  const { socket } = await open()
  socket.close(1000)
  const [code] = await within(once(socket, 'close'), 'close')
  assert.equal(code, 1000)
})
