// Goal: both languages say everything; what is published is what was written.

import { describe, expect, it } from "vitest";

import { backoffMs, retryAfterMs } from "../src/backoff.ts";
import { en, type Dictionary } from "../src/i18n/en.ts";
import { zhCN } from "../src/i18n/zh-CN.ts";
import { bodyOf, dataText } from "../src/publish.ts";
import { matches, sampleOf, topicsOf } from "../src/topics.ts";
import { curlLine, machineLine } from "../src/view/curl.ts";

/** Every leaf of a dictionary with its path. */
function leaves(value: unknown, path = ""): [string, unknown][] {
  if (typeof value !== "object" || value === null) return [[path, value]];
  return Object.entries(value).flatMap(([key, inner]) => leaves(inner, `${path}.${key}`));
}

describe("the languages", () => {
  it("have the same keys, and functions of the same kind", () => {
    const shape = (dictionary: Dictionary): [string, string][] => leaves(dictionary).map(([path, leaf]) => [path, typeof leaf]);
    expect(shape(zhCN)).toEqual(shape(en));
  });

  it("leave nothing empty and nothing untranslated but names", () => {
    const same = new Set([".lanes.websocket", ".lanes.sse", ".spread.p95", ".spread.n", ".keys.list.0.0", ".keys.list.1.0", ".keys.list.2.0", ".keys.list.3.0"]);
    const english = new Map(leaves(en));
    for (const [path, leaf] of leaves(zhCN)) {
      expect(leaf, path).not.toBe("");
      if (typeof leaf === "string" && !same.has(path)) expect(leaf, path).not.toBe(english.get(path));
    }
  });

  it("fail the type check when a key is missing", () => {
    const { title: _left, ...rest } = zhCN;
    // @ts-expect-error a dictionary without a title is none
    const broken: Dictionary = rest;
    expect(broken).toBeDefined();
  });

  it("set Latin names off from Chinese words, and join Chinese names without spaces", () => {
    const others = [{ lane: "SSE", by: "3.16 ms" }, { lane: "长轮询", by: "4.57 ms" }];
    expect(zhCN.verdict.ahead("WebSocket", "94 %", others, "62")).toBe("WebSocket 在 62 场比赛的 94 % 中最先到达；SSE 慢 3.16 ms，长轮询慢 4.57 ms。");
    expect(zhCN.verdict.join(["WebSocket", "长轮询"])).toBe("WebSocket 和长轮询");
    expect(zhCN.lane.cutLabel("长轮询")).toBe("切断长轮询 3 秒");
  });

  it("say every way in which a connection ends", () => {
    for (const { ended } of [en, zhCN])
      for (const why of ["aborted", "closed", "refused", "unreachable", "silent", "garbled"] as const)
        expect(ended({ why, code: 503, detail: "x" })).not.toBe("");
  });
});

describe("publishing", () => {
  it.each(["1e400", "12345678901234567890", ' {"a":1.10} ', '"\\u0041"'])("sends the JSON %s as it was written", (data) => {
    expect(bodyOf({ topic: "a.b", type: "", data })).toBe(`{"topic":"a.b","data":${data.trim()}}`);
  });

  it.each(["hello", "{not json", ""])("sends %j as a text", (data) => {
    expect(dataText(data)).toEqual({ json: JSON.stringify(data), isJson: false });
    expect(JSON.parse(bodyOf({ topic: "a", type: 't"', data }))).toEqual({ topic: "a", type: 't"', data });
  });

  it("writes curl lines that a shell takes", () => {
    const draft = { topic: "a.b", type: "", data: ' "it\'s" ' };
    expect(curlLine("https://localhost:8443/", draft)).toBe(`curl -k -d '"it'\\''s"' 'https://localhost:8443/topics/a.b'`);
    expect(curlLine("https://push.example.com/in/", { ...draft, type: "a&b", data: "@x" })).toBe(
      "curl --data-raw '@x' 'https://push.example.com/in/topics/a.b?type=a%26b'");
    expect(machineLine("https://localhost:8443/")).toBe("cargo run --release --example machine");
    expect(machineLine("https://127.0.0.1:9000/")).toBe("cargo run --release --example machine -- --url https://127.0.0.1:9000 --insecure");
  });
});

describe("topics", () => {
  it("are split at white space and kept once", () => {
    expect(topicsOf("  a.* b.>\n a.* ")).toEqual(["a.*", "b.>"]);
  });

  it("are suggested so that their pattern matches", () => {
    for (const pattern of ["machine.>", "a.*.b", "*", ">", "plain.topic"]) expect(matches(pattern, sampleOf(pattern)), pattern).toBe(true);
  });

  it.each([
    ["a.*", "a.b", true], ["a.*", "a.b.c", false], ["a.>", "a", false], ["a.>", "a.b.c", true], ["*", "$sys", false],
    [">", "$sys.a", false], ["$sys.>", "$sys.a", true], ["a.$b", "a.$b", true], ["a", "A", false], ["a.b", "a", false],
  ])("%s and %s: %s", (pattern, topic, expected) => {
    expect(matches(pattern, topic)).toBe(expected);
  });
});

describe("waits", () => {
  it("grow, are jittered in full, and never fall below what the gateway asked for", () => {
    expect(backoffMs(0, 0, 0)).toBe(0);
    expect(backoffMs(0, 0, 1)).toBe(500);
    expect(backoffMs(3, 1730, 1)).toBe(1730 + 4000);
    expect(backoffMs(99, 0, 1)).toBe(30_000);
    expect(retryAfterMs(new Headers({ "retry-after": "2" }))).toBe(2000);
    expect(retryAfterMs(new Headers({ "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }))).toBe(0);
  });
});
