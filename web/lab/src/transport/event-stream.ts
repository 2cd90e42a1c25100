// The event stream format: bytes in any pieces in, blocks out.
// Shape: push-based; it knows the format and nothing of Tidewire.
// Bound: one unfinished block of at most `BLOCK_MAX_CHARS`; beyond it `push` throws a RangeError.
// Failure: bytes that are not UTF-8 become U+FFFD, unknown fields are ignored, an unfinished last block is dropped,
// all as the standard says.
// Source: WHATWG HTML, section "Parsing an event stream".

export interface Block {
  /** "message" unless the block named another. */
  readonly event: string;
  readonly data: string;
  /** The last id that the stream gave, in this block or before it. */
  readonly id: string;
}

export class EventStreamParser {
  private readonly decoder = new TextDecoder("utf-8"); // ignores one BOM, as the standard asks
  private rest = "";
  private sawCr = false;
  private data = "";
  private hasData = false;
  private event = "";
  private id = "";
  private size = 0;

  constructor(
    private readonly onBlock: (block: Block) => void,
    private readonly onRetry: (ms: number) => void = () => {},
  ) {}

  /** Takes the next piece of the stream, cut anywhere, even inside a character. */
  push(bytes: Uint8Array): void {
    let text = this.decoder.decode(bytes, { stream: true });
    if (text === "") return;
    // A line feed right after a carriage return belongs to the same line end, also across pieces.
    if (this.sawCr && text.startsWith("\n")) text = text.slice(1);
    if (text !== "") this.sawCr = text.endsWith("\r");
    else this.sawCr = false;

    const lines = (this.rest + text).split(/\r\n|\n|\r/);
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.line(line);
    if (this.rest.length + this.size > BLOCK_MAX_CHARS) throw new RangeError("a block of the event stream is too long");
  }

  private line(line: string): void {
    if (line === "") {
      this.dispatch();
      return;
    }
    this.size += line.length;
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const field = colon < 0 ? line : line.slice(0, colon);
    const raw = colon < 0 ? "" : line.slice(colon + 1);
    this.field(field, raw.startsWith(" ") ? raw.slice(1) : raw);
  }

  private field(name: string, value: string): void {
    if (name === "data") {
      this.data += this.hasData ? `\n${value}` : value;
      this.hasData = true;
    } else if (name === "event") {
      this.event = value;
    } else if (name === "id") {
      if (!value.includes("\0")) this.id = value;
    } else if (name === "retry") {
      if (/^[0-9]+$/.test(value)) this.onRetry(Number(value));
    }
  }

  private dispatch(): void {
    const { event, data, hasData } = this;
    this.event = "";
    this.data = "";
    this.hasData = false;
    this.size = 0;
    if (hasData) this.onBlock({ event: event === "" ? "message" : event, data, id: this.id });
  }
}

/** Far above the largest event that a gateway takes, as JSON text in one block. */
export const BLOCK_MAX_CHARS = 4 * 1024 * 1024;
