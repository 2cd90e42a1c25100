// Goal: the parser reads what the standard says, wherever the network cuts the bytes.
// Method: a table with a row for each rule; every row is split at every byte; eventsource-parser is the oracle.
// Source: WHATWG HTML, "Parsing an event stream"; the rows follow the names of the web-platform-tests' format files.

import { createParser } from "eventsource-parser";
import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { BLOCK_MAX_CHARS, EventStreamParser, type Block } from "../src/transport/event-stream.ts";

interface Vector {
  readonly rule: string;
  readonly stream: string;
  readonly blocks: readonly Partial<Block>[];
  readonly retries?: readonly number[];
}

const VECTORS: readonly Vector[] = [
  { rule: "a byte order mark at the beginning is ignored", stream: "\uFEFFdata:1\n\n", blocks: [{ data: "1" }] },
  { rule: "a second byte order mark belongs to the field's name", stream: "\uFEFF\uFEFFdata:1\n\ndata:2\n\n", blocks: [{ data: "2" }] },
  { rule: "comments are skipped", stream: ":\ndata:1\n:\0\n:data:2\ndata:3\n\n", blocks: [{ data: "1\n3" }] },
  { rule: "an unfinished last block is dropped", stream: "data:1\n\ndata:2\n", blocks: [{ data: "1" }] },
  { rule: "a data field without a colon is an empty line of data", stream: "data\n\ndata\ndata\n\n", blocks: [{ data: "" }, { data: "\n" }] },
  { rule: "a block without data is no block", stream: "event:a\n\nid:1\n\ndata:x\n\n", blocks: [{ data: "x", event: "message", id: "1" }] },
  { rule: "an event field names one block only", stream: "event:test\ndata:x\n\ndata:x\n\n", blocks: [{ event: "test", data: "x" }, { event: "message", data: "x" }] },
  { rule: "an empty event field means message", stream: "event:\ndata:x\n\n", blocks: [{ event: "message", data: "x" }] },
  { rule: "an id stays until the next one", stream: "id:1\ndata:a\n\ndata:b\n\nid\ndata:c\n\n", blocks: [{ id: "1" }, { id: "1" }, { id: "" }] },
  { rule: "an id with a null character is ignored", stream: "id:1\ndata:a\n\nid:2\0\ndata:b\n\n", blocks: [{ id: "1" }, { id: "1" }] },
  { rule: "only one space after the colon is dropped", stream: "data:  x\ndata:\tx\ndata: \n\n", blocks: [{ data: " x\n\tx\n" }] },
  { rule: "field names are exact", stream: "Data:1\ndata :2\n data:3\ndata:4\n\n", blocks: [{ data: "4" }] },
  { rule: "everything after the first colon is the value", stream: "data:a:b: c\n\n", blocks: [{ data: "a:b: c" }] },
  { rule: "carriage return, line feed and both together end a line", stream: "data:1\rdata:2\ndata:3\r\n\r\ndata:4\r\r", blocks: [{ data: "1\n2\n3" }, { data: "4" }] },
  { rule: "a carriage return and two line feeds are two line ends", stream: "data:1\r\n\ndata:2\n\n", blocks: [{ data: "1" }, { data: "2" }] },
  { rule: "a null character in data is kept", stream: "data:\0\n\n", blocks: [{ data: "\0" }] },
  { rule: "retry takes digits", stream: "retry:3000\ndata:x\n\n", blocks: [{ data: "x" }], retries: [3000] },
  { rule: "a bogus retry is ignored", stream: "retry:1000x\nretry:-1\nretry\ndata:x\n\n", blocks: [{ data: "x" }], retries: [] },
  { rule: "characters outside the basic plane survive", stream: "data:ok…潮🌊\n\n", blocks: [{ data: "ok…潮🌊" }] },
  { rule: "unknown fields are ignored", stream: "data:a\nfoo:b\njustname\n\n", blocks: [{ data: "a" }] },
  { rule: "Unicode line separators end no line", stream: "data:a\u2028b\u0085c\n\n", blocks: [{ data: "a\u2028b\u0085c" }] },
];

function parse(pieces: readonly Uint8Array[]): { blocks: Block[]; retries: number[] } {
  const blocks: Block[] = [];
  const retries: number[] = [];
  const parser = new EventStreamParser((block) => blocks.push(block), (ms) => retries.push(ms));
  for (const piece of pieces) parser.push(piece);
  return { blocks, retries };
}

function oracle(stream: string): { event: string; data: string }[] {
  const found: { event: string; data: string }[] = [];
  const parser = createParser({ onEvent: ({ event, data }) => found.push({ event: event || "message", data }) });
  parser.feed(new TextDecoder().decode(new TextEncoder().encode(stream)));
  parser.feed(":\n"); // a comment: it holds a carriage return at the end until it has seen what follows
  return found;
}

const withoutId = (blocks: readonly Block[]): { event: string; data: string }[] => blocks.map(({ event, data }) => ({ event, data }));

describe("the event stream parser", () => {
  it.each(VECTORS)("$rule", ({ stream, blocks, retries }) => {
    const bytes = new TextEncoder().encode(stream);
    const whole = parse([bytes]);
    expect(whole.blocks).toMatchObject(blocks);
    expect(whole.blocks).toHaveLength(blocks.length);
    if (retries !== undefined) expect(whole.retries).toEqual(retries);
    expect(withoutId(whole.blocks)).toEqual(oracle(stream));
    for (let cut = 0; cut <= bytes.length; cut++)
      expect(parse([bytes.subarray(0, cut), bytes.subarray(cut)]), `cut at ${cut}`).toEqual(whole);
    expect(parse(Array.from(bytes, (byte) => Uint8Array.of(byte))), "byte by byte").toEqual(whole);
  });

  it("reads any mixture of lines as the oracle does, cut anywhere", () => {
    const line = fc.oneof(
      fc.constantFrom("data", "data:", "data: x", "event: e", "event:", "id: 7", ": note", "", "", "other: 1"),
      fc.string({ unit: "grapheme", maxLength: 8 }).map((value) => `data:${value.replace(/[\r\n\uFEFF]/g, "")}`),
    );
    const end = fc.constantFrom("\n", "\r\n", "\r");
    const stream = fc.array(fc.tuple(line, end).map(([text, eol]) => text + eol), { maxLength: 30 }).map((lines) => `${lines.join("")}\n\n`);
    fc.assert(fc.property(stream, fc.array(fc.nat(), { maxLength: 5 }), (text, cuts) => {
      const bytes = new TextEncoder().encode(text);
      const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
      const pieces = places.slice(1).map((place, i) => bytes.subarray(places[i], place));
      expect(withoutId(parse(pieces).blocks)).toEqual(oracle(text));
    }), { numRuns: 500 });
  });

  it("does not gather without bound", () => {
    const piece = new TextEncoder().encode("data:" + "x".repeat(64 * 1024));
    const parser = new EventStreamParser(() => {});
    expect(() => { for (let i = 0; i <= BLOCK_MAX_CHARS / piece.length + 1; i++) parser.push(piece); }).toThrow(RangeError);
  });
});
