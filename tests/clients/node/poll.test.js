// `fetch` (undici) as a plain client of `/poll`. Source: protocol section 3.2.
import { strict as assert } from 'node:assert'
import { after, before, test } from 'node:test'
import { Gateway, freshTopic, within } from './gateway.js'

let gateway
before(async () => (gateway = await Gateway.start('memory')))
after(() => gateway.dispose())

for (const http2 of [false, true]) {
  test(`a loop of polls misses nothing over ${http2 ? 'HTTP/2' : 'HTTP/1.1'}`, async () => {
    const topic = freshTopic()
    const over = gateway.fetchOver({ http2 })
    const poll = async (query) => {
      const answer = await within(over(`/poll?topic=${topic}${query}`), 'poll')
      assert.equal(answer.status, 200)
      const body = await answer.json()
      assert.equal(answer.headers.get('etag'), `"${body.cursor}"`)
      assert.equal(answer.headers.get('tidewire-cursor'), body.cursor)
      return body
    }
    let { cursor, events } = await poll('')
    assert.deepEqual(events, [])

    const ids = []
    const publishing = (async () => {
      for (let number = 0; number < 50; number += 1) ids.push(await gateway.publish(topic, number))
    })()
    const received = []
    while (received.length < 50) {
      const answer = await poll(`&after=${cursor}&limit=7`)
      received.push(...answer.events.map(({ id }) => id))
      cursor = answer.cursor
    }
    await publishing
    assert.deepEqual(received, ids)
  })
}

test('a refusal is a problem that fetch can read', async () => {
  const answer = await gateway.fetchOver()('/poll?topic=a..b')
  assert.equal(answer.status, 400)
  assert.equal(answer.headers.get('content-type'), 'application/problem+json')
  assert.equal((await answer.json()).code, 'bad_topic')
})
