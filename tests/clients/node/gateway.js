// One real gateway process, started and stopped by a test.
//
// Shape: `Gateway.start(options)` runs the binary and waits for its `ready` line; `url`, `ca` and
// `fetch` lead to it. `stop()` drains it; `restart()` starts it again on the same port and data.
// Bound: every wait has one deadline, `DEADLINE_MS`.
// Failure: a gateway that does not start, exits with another code than 0 or panics fails the test.
// Source: protocol section 10.
import { strict as assert } from 'node:assert'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { Agent, fetch } from 'undici'

// Far above what any step takes: it is met by a hang only.
export const DEADLINE_MS = 30_000

const ROOT = resolve(import.meta.dirname, '../../..')

/** `TIDEWIRE_BIN`, else the release build, else the debug build. */
function binary() {
  const named = process.env.TIDEWIRE_BIN
  const found = named
    ? [resolve(named)]
    : ['release', 'debug'].map((profile) => join(ROOT, 'target', profile, 'tidewire'))
  const path = found.find(existsSync)
  assert.ok(path, `no tidewire binary at ${found.join(', ')}; build it first`)
  return path
}

/** Ours without what the gateway would take for its configuration, such as `TIDEWIRE_BIN`. */
function environment() {
  const ours = Object.entries(process.env)
  return Object.fromEntries(ours.filter(([name]) => !name.startsWith('TIDEWIRE_') || name === 'TIDEWIRE_LOG'))
}

/** The promise, or an error that names what did not come in time. */
export async function within(promise, what) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing in ${DEADLINE_MS} ms`)), DEADLINE_MS)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

export class Gateway {
  #process
  #exited
  #stderr = ''
  #listen = '127.0.0.1:0'
  #agents = []

  static async start(engine = 'memory') {
    const gateway = new Gateway()
    gateway.engine = engine
    gateway.folder = mkdtempSync(join(tmpdir(), 'tidewire-'))
    await gateway.restart()
    return gateway
  }

  /** Runs the binary; from the second time on, on the port that the first one had. */
  async restart() {
    const data = join(this.folder, 'data')
    const flags = ['--listen', this.#listen, '--admin', '127.0.0.1:0']
    flags.push('--engine', this.engine, '--data-dir', data)
    const child = spawn(binary(), ['serve', ...flags], {
      cwd: this.folder,
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.#process = child
    this.#exited = once(child, 'exit')
    child.stderr.on('data', (text) => (this.#stderr += text))
    const ready = new Promise((found, failed) => {
      createInterface({ input: child.stdout }).on('line', (line) => {
        if (line.startsWith('ready ')) found(line.slice('ready '.length))
      })
      this.#exited.then(([code]) => failed(new Error(`exit ${code}: ${this.#stderr}`)), failed)
    })
    this.url = await within(ready, 'ready line')
    this.#listen = new URL(this.url).host
    this.ca = readFileSync(join(data, 'tls', 'cert.pem'))
  }

  /** SIGTERM; the end has exit code 0 and no panic before it. */
  async stop() {
    if (!this.#process) return
    this.#process.kill('SIGTERM')
    const [code] = await within(this.#exited, 'exit')
    this.#process = undefined
    assert.equal(code, 0, this.#stderr)
    assert.ok(!this.#stderr.includes('panicked'), this.#stderr)
  }

  /** Stops it and takes its folder away. */
  async dispose() {
    await Promise.all(this.#agents.map((agent) => agent.destroy()))
    await this.stop()
    rmSync(this.folder, { recursive: true })
  }

  get wsUrl() {
    return this.url.replace('https:', 'wss:')
  }

  /** A `fetch` that trusts this gateway alone. */
  fetchOver({ http2 = false } = {}) {
    const agent = new Agent({ allowH2: http2, bodyTimeout: 0, connect: { ca: this.ca } })
    this.#agents.push(agent)
    return (path, init) => fetch(new URL(path, this.url), { ...init, dispatcher: agent })
  }

  /** Publishes one JSON event and returns its id. */
  async publish(topic, data) {
    this.fetch ??= this.fetchOver()
    const body = JSON.stringify({ topic, data })
    const headers = { 'Content-Type': 'application/json' }
    const answer = await this.fetch('/publish', { method: 'POST', headers, body })
    const text = await answer.text()
    assert.equal(answer.status, 201, text)
    return JSON.parse(text).id
  }
}

/** A queue that a listener fills and a test empties. */
export class Inbox {
  #items = []
  #waiting = []

  put(item) {
    const taker = this.#waiting.shift()
    if (taker) taker(item)
    else this.#items.push(item)
  }

  /** The next item, within the deadline. */
  take(what = 'message') {
    if (this.#items.length) return Promise.resolve(this.#items.shift())
    return within(new Promise((taker) => this.#waiting.push(taker)), what)
  }
}

let topics = 0

/** A topic that no other test uses. */
export function freshTopic() {
  topics += 1
  return `orders.node.${process.pid}.${topics}`
}
