// Goal: what stands on the page is what was on the wire; text that is not the protocol's is refused, never thrown on.

import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { byeOf, elementsOf, eventOf, gapOf, helloOf, isBefore, isFinalClose, isPassingStatus, membersOf, pollAnswerOf, PREVIEW_CHARS } from "../src/protocol.ts";

const event = (data: string, type = ""): string =>
  `{"id":"k-11","topic":"a.b","time":1795235358123${type === "" ? "" : `,"type":${JSON.stringify(type)}`},"data":${data}}`;

describe("an event", () => {
  it.each(["1e400", "12345678901234567890", "1.10", '"\\u0041"', '{"b":1,"a":2}', "null"])("shows the data %s as it was published", (data) => {
    expect(eventOf(event(data))).toMatchObject({ id: "k-11", topic: "a.b", preview: data, binary: false });
  });

  it("is not deceived by a type that looks like the data member", () => {
    expect(eventOf(event("7", ',"data":"x"'))).toMatchObject({ preview: "7", type: ',"data":"x"' });
  });

  it("with bytes shows their base64", () => {
    expect(eventOf('{"id":"k-11","topic":"a","time":1,"data_base64":"AAEC"}')).toMatchObject({ preview: "AAEC", binary: true });
  });

  it("is cut to a preview, and compared as a whole", () => {
    const long = eventOf(event(JSON.stringify("x".repeat(5000))));
    expect(long?.preview).toHaveLength(PREVIEW_CHARS + 1);
    expect(long?.digest).not.toBe(eventOf(event(JSON.stringify(`${"x".repeat(4999)}y`)))?.digest);
  });

  it.each(["", "null", "[]", "{", '{"id":1,"topic":"a","time":1}', '{"id":"k-11","topic":"a","time":"1","data":1}'])("is not made of %s", (text) => {
    expect(eventOf(text)).toBeUndefined();
  });
});

describe("a poll answer", () => {
  it("keeps the text of each event, whatever is in it", () => {
    const data = fc.jsonValue().map((value) => JSON.stringify(value));
    fc.assert(fc.property(fc.array(data), fc.string(), (datas, noise) => {
      const events = datas.map((text) => event(text, noise));
      expect(elementsOf(`{"cursor":"k-12","events":[${events.join(",")}],"more":false}`, "events")).toEqual(events);
    }));
  });

  it("has cursor, events, gap and whether there is more", () => {
    const gap = '{"topics":["a.>"],"after":"k-11","cursor":"k-15","reason":"evicted"}';
    expect(pollAnswerOf(`{"cursor":"k-16","events":[${event("1e400")}],"more":true,"gap":${gap}}`)).toMatchObject({
      cursor: "k-16", more: true, events: [{ preview: "1e400" }], gap: { reason: "evicted", cursor: "k-15" },
    });
  });

  it.each(["", "{}", '{"cursor":"k-11"}', '{"cursor":"k-11","events":[1]}', "<html>"])("is not made of %s", (text) => {
    expect(pollAnswerOf(text)).toBeUndefined();
  });
});

describe("the other frames", () => {
  it("hello has a cursor and a heartbeat", () => {
    expect(helloOf(membersOf('{"cursor":"k-11","resumed":true,"heartbeat_ms":500}'))).toEqual({ cursor: "k-11", resumed: true, heartbeatMs: 500 });
    expect(helloOf(membersOf("{}"))).toBeUndefined();
  });

  it("gap and bye tell their reason", () => {
    expect(gapOf(membersOf('{"topics":["a",1],"after":"k-11","cursor":"k-12","reason":"slow"}'))?.topics).toEqual(["a"]);
    expect(byeOf(membersOf('{"code":4203,"reason":"draining","retry_ms":1730}'))).toEqual({ code: 4203, reason: "draining", retryMs: 1730 });
    expect(gapOf(undefined)).toBeUndefined();
    expect(byeOf(undefined)).toBeUndefined();
  });

  it("close codes and statuses say whether to come back", () => {
    expect([1000, 1001, 4100, 4200, 4203].some(isFinalClose)).toBe(false);
    expect([1002, 1009, 4000, 4001, 4003].every(isFinalClose)).toBe(true);
    expect([400, 401, 403, 404].some(isPassingStatus)).toBe(false);
    expect([408, 429, 500, 503].every(isPassingStatus)).toBe(true);
  });
});

describe("the order of ids", () => {
  it("is the log's within an epoch, also where the number of digits grows", () => {
    expect(isBefore("k3f9-19", "k3f9-210")).toBe(true);
    expect(isBefore("k3f9-3999", "k3f9-41000")).toBe(true);
    expect(isBefore("k3f9-41000", "k3f9-3999")).toBe(false);
  });

  it("says nothing across epochs", () => {
    expect(isBefore("k3f9-19", "m001-19")).toBeUndefined();
  });
});
