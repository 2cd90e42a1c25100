// 简体中文。

import type { Dictionary } from "./en.ts";

/** Latin words are set off from Chinese ones by a space, Chinese words are not. */
const spaced = (word: string): string => (/[\w.)]$/.test(word) ? `${word} ` : word);
const before = (word: string): string => (/^\w/.test(word) ? ` ${word}` : word);

export const zhCN: Dictionary = {
  name: "中文",
  title: "Tidewire 实验室：WebSocket、SSE、长轮询同台对比",
  lead: "一份日志，三条路通向浏览器",
  sublead: "同一总线上的同一批事件，分别经 WebSocket、服务器推送事件（SSE）和长轮询送达，并排对比。随手切断一路，看看会不会丢东西。",
  skip: "跳到各通道",

  theme: { label: "主题色", system: "自动", light: "浅色", dark: "深色" },

  lanes: { websocket: "WebSocket", sse: "SSE", poll: "长轮询" },
  lanesTitle: "通道",

  watch: {
    title: "订阅什么",
    label: "主题或模式",
    help: "层级以点分隔；* 匹配任意一层，末尾的 > 匹配其后所有层。",
    button: "订阅",
    pause: "暂停",
    go: "继续",
    reset: "清零",
    empty: "请至少填写一个主题。",
    refused: (status, detail) => `网关拒绝了请求（${status}）${detail === "" ? "。" : `：${detail}`}`,
    unreachable: "网关没有应答，正在重试。",
    paused: (waiting) => `已暂停。各通道仍在接收：有 ${waiting} 次到达尚未显示。`,
  },

  verdict: {
    title: "目前（中位数）",
    none: "还没有比赛：三条通道都已连通，并且都收到同一事件，才算一场。",
    few: (n, needed) => `已有 ${n} 场，满 ${needed} 场才下结论。`,
    level: (lanes, n) => `难分胜负：${spaced(lanes)}之差在不确定度之内（n = ${n}）。`,
    ahead: (winner, share, others, n) =>
      `${spaced(winner)}在 ${n} 场比赛的 ${share} 中最先到达；${others.map(({ lane, by }) => `${spaced(lane)}慢 ${by}`).join("，")}。`,
    join: (parts) => parts.length < 2 ? parts.join("") : `${spaced(parts.slice(0, -1).join("、"))}和${before(parts.at(-1) ?? "")}`,
    clean: "无遗漏，无重复。",
    missed: (missed, doubled) => `遗漏 ${missed}，重复 ${doubled}。`,
  },

  hint: {
    title: (topics) => `${topics} 上还没有事件`,
    intro: "各通道已连通，正在等待。可以这样送入数据：",
    machine: "机器的实时数据：",
    curl: "手动发布一个事件：",
    here: "就在本页：",
    start: "每秒发布 5 个事件",
    copy: "复制",
    copied: "已复制",
  },

  strip: {
    title: "赛道",
    caption: "每个标记是一次到达，最先到达者为实心；连线连接同一事件的各次到达。斜纹表示该通道当时断开。",
    now: "现在",
    label: (seconds) => `三条通道最近 ${seconds} 秒的到达情况。同样的数据见“最新事件”表格。`,
  },

  spread: {
    title: "落后于最先者",
    caption: "与最先收到该事件的通道之间的差距，最近 200 场。竖线为中位数，对数坐标。",
    first: "最先",
    label: "各通道落后于最先者的分布。同样的数据见下方表格。",
    table: "表格形式",
    lane: "通道",
    share: "最先占比",
    p50: "中位数",
    p95: "p95",
    interval: "中位数的 95 % 区间",
    n: "n",
    none: "还没有比赛。",
  },

  lane: {
    median: "落后于最先者（中位数）",
    shares: (share, p95) => `最先占 ${share} · p95 ${p95}`,
    received: "事件",
    replayed: "补发",
    reconnects: "重连",
    missed: "遗漏",
    doubled: "重复",
    gaps: "缺口",
    cursor: "最新游标",
    protocol: "协议",
    unknown: "浏览器未告知",
    cut: "切断",
    cutLabel: (lane) => `切断${before(lane)} 3 秒`,
    resume: "恢复",
    resumeLabel: (lane) => `立即连接${before(lane)}`,
    list: (lane) => `${spaced(lane)}的事件，最新的在前`,
    empty: "还没有事件。",
    behind: (n) => `落后 ${n} 个`,
    disordered: (n) => `乱序：${n}`,
    altered: (n) => `与最先到达的字节不同：${n}`,
    binary: "字节（base64）：",
  },

  phase: {
    connecting: "连接中",
    online: "在线",
    waiting: "等待重连",
    cut: "已切断",
    closed: "已关闭",
    backIn: (seconds) => `${seconds} 秒后恢复`,
  },

  line: {
    first: "最先",
    replayed: (ms) => `补发，比最先者晚 ${ms}`,
    again: "重复到达",
    opened: "已连通",
    back: (away) => `中断 ${away} 后恢复，按游标续传`,
    backUnresumed: (away) => `中断 ${away} 后恢复，未能续传`,
    cut: "在此切断",
    gap: (reason) => `缺口：${reason}`,
    reasons: {
      evicted: "事件已不再保留",
      epoch: "日志已重新开始",
      slow: "该通道太慢",
      unknown: "游标无法识别",
    },
  },

  ended: (ended) => {
    const more = ended.detail === undefined || ended.detail === "" ? "" : `：${ended.detail}`;
    switch (ended.why) {
      case "aborted": return "本页断开";
      case "closed": return ended.code === undefined ? "网关结束了该流" : `以 ${ended.code} 关闭${more}`;
      case "refused": return `被拒绝（${ended.code ?? 0}）${more}`;
      case "unreachable": return "无法连接网关";
      case "silent": return "长时间无数据";
      case "garbled": return `不是 Tidewire 协议${more}`;
    }
  },

  publish: {
    title: "发布",
    topic: "主题",
    type: "类型（可选）",
    data: "数据",
    json: "将以 JSON 发出。",
    text: "不是 JSON，将以文本发出。",
    button: "发布",
    stream: "每秒 5 个",
    stop: "停止",
    unmatched: "没有通道订阅此主题。",
    sending: "发送中",
    answered: (status, ms) => `${status}，${ms} 后应答`,
    refused: (status, detail) => `被拒绝（${status}）${detail === "" ? "。" : `：${detail}`}`,
    unknown: "没有应答，事件可能已存储。",
    trip: "从点击到到达，同一时钟：",
    streaming: (n) => `已发布 ${n} 个`,
    curl: "用 curl 做同样的事",
  },

  table: {
    title: "最新事件",
    caption: "各通道收到事件的时间，从最先到达者算起。",
    event: "事件",
    topic: "主题",
    missed: "遗漏",
    waiting: "未到",
    empty: "还没有事件。",
  },

  method: {
    title: "这是怎样测量的？",
    points: [
      "每条通道在各自的 Worker 中运行，在解析和绘制之前就记下时间戳。所有时间戳出自同一时钟，因此无需对时。",
      "三条通道从同一个游标开始，应收到同样的事件。“遗漏”是指别的通道已收到、本通道却越过了的事件；“重复”是指到达两次的事件；两者都按事件的 id 判断。顺序和字节内容也会比对。",
      "事件到来之前三条通道都已连通一秒以上，才算一场比赛；一起发布的事件只算一场。断开后补发的事件会计数，但不算比赛。百分位数取最近 1,000 场。",
      "只有当中位数的 95 % 区间互不重叠时，才判定胜者。",
      "“切断”是在本页中止连接。通道带着最后的游标回来；其间网关不为它保存任何东西。",
      "在 HTTP/2 上，各通道可能共用一条连接，也一起承受它的延迟。单机上的数字不能说明网络上的表现。",
    ],
    environment: "当前环境",
    page: "页面加载协议",
    step: "时钟最小步长",
    isolated: "页面隔离（时钟更精细）",
    browser: "浏览器",
    yes: "是",
    no: "否",
  },

  keys: {
    title: "键盘",
    on: "启用单键快捷键",
    list: [["1 2 3", "切断第一、二、三条通道，或使其恢复"], ["p", "暂停与继续"], ["/", "跳到主题"], ["n", "跳到要发布的数据"]],
  },

  announce: {
    lane: (lane, phase) => `${lane}：${phase}。`,
  },
};
