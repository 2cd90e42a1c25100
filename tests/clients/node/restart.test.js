// The server process goes and comes back on the same port, on the disk engine: nothing is missed.
//
// Method: number the events; stop the process with SIGTERM between two of them, start it again, go on
// publishing at once, before the clients are back. Each client reconnects by itself, as it always does.
// Source: protocol sections 3 and 10.
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { test } from 'node:test'
import { EventSource } from 'eventsource'
import WebSocket from 'ws'
import { Gateway, Inbox, freshTopic, within } from './gateway.js'

const RESTARTS = 3
const EVENTS_EACH = 20

/** Publishes in rounds with a restart between them; returns the ids. */
async function publishAcrossRestarts(gateway, topic) {
  const ids = []
  for (let round = 0; round <= RESTARTS; round += 1) {
    if (round > 0) {
      await gateway.stop()
      await gateway.restart()
    }
    for (let number = 0; number < EVENTS_EACH; number += 1) {
      ids.push(await gateway.publish(topic, ids.length))
    }
  }
  return ids
}

for (const http2 of [false, true]) {
  const version = http2 ? 'HTTP/2' : 'HTTP/1.1'
  test(`an EventSource that reconnects by itself misses nothing over ${version}`, async (t) => {
    const gateway = await Gateway.start('disk')
    let source
    t.after(() => {
      source?.close()
      return gateway.dispose()
    })
    const topic = freshTopic()
    const inbox = new Inbox()
    const byes = []
    const gaps = []
    const statuses = new Set()
    const over = gateway.fetchOver({ http2 })
    source = new EventSource(`${gateway.url}/sse?topic=${topic}`, {
      fetch: async (url, init) => {
        const answer = await over(url, init)
        statuses.add(answer.status)
        return answer
      },
    })
    source.addEventListener('message', (event) => inbox.put(event.lastEventId))
    source.addEventListener('bye', (event) => byes.push(JSON.parse(event.data)))
    source.addEventListener('gap', (event) => gaps.push(JSON.parse(event.data)))
    await within(once(source, 'hello'), 'hello')

    const ids = await publishAcrossRestarts(gateway, topic)
    const received = []
    while (received.length < ids.length) received.push(await inbox.take('event'))

    assert.deepEqual(received, ids)
    assert.deepEqual(gaps, [])
    assert.deepEqual([...statuses], [200], 'a status but 200 would end a native EventSource for ever')
    assert.ok(byes.length >= 1 && byes.every(({ code }) => code === 4203))
  })
}

test('a ws client that comes back with its cursor misses nothing', async (t) => {
  const gateway = await Gateway.start('disk')
  let done = false
  t.after(() => {
    done = true
    return gateway.dispose()
  })
  const topic = freshTopic()
  const received = new Inbox()
  const codes = []
  const gaps = []
  let cursor = 'now'
  let opened
  const greeted = new Promise((resolve) => (opened = resolve))

  function connect() {
    const socket = new WebSocket(`${gateway.wsUrl}/ws?topic=${topic}&after=${cursor}`, { ca: gateway.ca })
    socket.on('message', (data) => {
      const frame = JSON.parse(data.toString())
      if (frame.op === undefined) {
        cursor = frame.id
        received.put(frame.id)
      } else if (frame.op === 'hello') {
        cursor = frame.cursor
        opened()
      } else if (frame.op === 'gap') {
        gaps.push(frame)
      }
    })
    // Refused while the process is away; `close` follows and tries again.
    socket.on('error', () => {})
    socket.on('close', (code) => {
      codes.push(code)
      if (!done) setTimeout(connect, 50)
    })
    return socket
  }
  connect()
  await within(greeted, 'hello')

  const ids = await publishAcrossRestarts(gateway, topic)
  const all = []
  while (all.length < ids.length) all.push(await received.take('event'))

  assert.deepEqual(all, ids)
  assert.deepEqual(gaps, [])
  assert.ok(codes.includes(4203), `close codes ${codes}`)
})
