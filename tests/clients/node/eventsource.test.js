// npm `eventsource` as a plain client of `/sse`, with undici as its fetch. Source: protocol section 3.1.
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { EventSource } from 'eventsource'
import { Gateway, Inbox, freshTopic, within } from './gateway.js'

let gateway
before(async () => (gateway = await Gateway.start('memory')))
after(() => gateway.dispose())

/** A source whose messages and named events lie in an inbox. */
function open(query, { http2, headers, names = ['hello', 'gap', 'bye'] } = {}) {
  const inbox = new Inbox()
  const over = gateway.fetchOver({ http2 })
  const source = new EventSource(`${gateway.url}/sse?${query}`, {
    fetch: (url, init) => over(url, { ...init, headers: { ...init.headers, ...headers } }),
  })
  for (const name of ['message', ...names]) {
    source.addEventListener(name, ({ type, data, lastEventId }) => inbox.put({ type, data, lastEventId }))
  }
  return { source, inbox }
}

for (const http2 of [false, true]) {
  const version = http2 ? 'HTTP/2' : 'HTTP/1.1'

  test(`every event comes to onmessage over ${version}`, async () => {
    const topic = freshTopic()
    const { source, inbox } = open(`topic=${topic}`, { http2 })
    const hello = await inbox.take('hello')
    assert.equal(hello.type, 'hello')
    assert.equal(JSON.parse(hello.data).cursor, hello.lastEventId)
    for (let number = 0; number < 3; number += 1) {
      const id = await gateway.publish(topic, number)
      const message = await inbox.take('event')
      assert.equal(message.type, 'message')
      assert.equal(message.lastEventId, id)
      assert.equal(JSON.parse(message.data).data, number)
    }
    source.close()
  })

  test(`the first heartbeat follows the hello at once over ${version}`, async () => {
    const { source, inbox } = open(`topic=${freshTopic()}`, { http2, names: ['hello', 'hb'] })
    assert.equal((await inbox.take('hello')).type, 'hello')
    assert.equal((await inbox.take('hb')).type, 'hb')
    source.close()
  })

  test(`Last-Event-ID resumes over ${version}`, async () => {
    const topic = freshTopic()
    const ids = []
    for (let number = 0; number < 4; number += 1) ids.push(await gateway.publish(topic, number))
    const headers = { 'Last-Event-ID': ids[1] }
    const { source, inbox } = open(`topic=${topic}`, { http2, headers })
    assert.equal(JSON.parse((await inbox.take('hello')).data).resumed, true)
    assert.equal((await inbox.take('event')).lastEventId, ids[2])
    assert.equal((await inbox.take('event')).lastEventId, ids[3])
    source.close()
  })

  test(`a foreign cursor is told as a gap over ${version}`, async () => {
    const topic = freshTopic()
    const id = await gateway.publish(topic, 'kept')
    const { source, inbox } = open(`topic=${topic}&after=k3f9-41042`, { http2 })
    assert.equal(JSON.parse((await inbox.take('hello')).data).resumed, false)
    const gap = await inbox.take('gap')
    assert.equal(gap.type, 'gap')
    assert.equal(JSON.parse(gap.data).reason, 'epoch')
    assert.equal((await inbox.take('event')).lastEventId, id)
    source.close()
  })
}

test('format=data gives the payload under the name of its type', async () => {
  const topic = freshTopic()
  const { source, inbox } = open(`topic=${topic}&format=data`, { names: ['order.paid'] })
  const over = gateway.fetchOver()
  await within(once(source, 'hello'), 'hello')
  await over(`/topics/${topic}?type=order.paid`, { method: 'POST', body: 'one\ntwo' })
  const { type, data } = await inbox.take('event')
  assert.deepEqual([type, data], ['order.paid', 'one\ntwo'])
  source.close()
})

test('hostile text arrives as text and forges nothing', async () => {
  const topic = freshTopic()
  const { source, inbox } = open(`topic=${topic}`, { names: [] })
  await within(once(source, 'hello'), 'hello')
  const data = 'a\n\nid: x\r\nevent: gap\rdata: {}\u2028\u0000'
  const id = await gateway.publish(topic, data)
  const message = await inbox.take('event')
  assert.equal(message.lastEventId, id)
  assert.equal(JSON.parse(message.data).data, data)
  source.close()
})
