//! Reading `text/event-stream` as it arrives, in chunks of any size.
//!
//! Shape: bytes in, finished blocks out; what is not finished waits for the next chunk, or is dropped
//! with the parser, as the standard wants it.
//! Bound: `max_block_bytes` for the block that is being read. Failure: [`BlockTooLong`], and nothing more
//! is read from that stream.
//! Source: WHATWG HTML section 9.2.6 (interpreting an event stream).

/// An event of the stream, as an `EventSource` would dispatch it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The field `event`, or `message`.
    pub event: String,
    /// The lines of `data`, joined by LF.
    pub data: String,
    /// The last event id at this block: its own, or the one before it; `None` when there is none or it was
    /// reset.
    pub id: Option<String>,
    /// The field `retry` of this block, in milliseconds.
    pub retry: Option<u64>,
}

/// An incremental parser.
#[derive(Debug, Clone)]
pub struct Parser {
    max_block_bytes: usize,
    /// The line that is being read, without its end.
    line: Vec<u8>,
    /// A CR ended the last line: an LF right after it belongs to the same line end, also in a later chunk.
    after_cr: bool,
    /// Nothing but a byte order mark may stand before the first line.
    first_line: bool,
    event: String,
    data: String,
    /// As the fields set it; it counts from the end of the block on.
    next_id: String,
    last_event_id: String,
    block_retry_ms: Option<u64>,
    retry_ms: Option<u64>,
    too_long: bool,
}

impl Parser {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new(max_block_bytes: usize) -> Self {
        Self {
            max_block_bytes,
            line: Vec::new(),
            after_cr: false,
            first_line: true,
            event: String::new(),
            data: String::new(),
            next_id: String::new(),
            last_event_id: String::new(),
            block_retry_ms: None,
            retry_ms: None,
            too_long: false,
        }
    }

    /// Reads a chunk and gives the blocks that it finished.
    ///
    /// # Errors
    /// A block is longer than the bound; the same again for every later chunk.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<Vec<Block>, BlockTooLong> {
        let mut blocks = Vec::new();
        while !bytes.is_empty() && !self.too_long {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let end = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
            if self.block_bytes() + line.len() > self.max_block_bytes {
                self.too_long = true;
                break;
            }
            self.line.extend_from_slice(line);
            bytes = rest;
            if let Some((end, rest)) = rest.split_first() {
                self.after_cr = *end == b'\r';
                bytes = rest;
                blocks.extend(self.end_line());
            }
        }
        if self.too_long {
            return Err(BlockTooLong {
                max_block_bytes: self.max_block_bytes,
            });
        }
        Ok(blocks)
    }

    /// The id to resume after: that of the last finished block that had one; empty when none had.
    #[must_use]
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }

    /// The pause before coming back, as the stream last set it.
    #[must_use]
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry_ms
    }

    fn block_bytes(&self) -> usize {
        self.line.len() + self.event.len() + self.data.len() + self.next_id.len()
    }

    fn end_line(&mut self) -> Option<Block> {
        let line = std::mem::take(&mut self.line);
        let mut text = line.as_slice();
        if std::mem::take(&mut self.first_line) {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        // A line end is never part of a longer sequence, so each line can be decoded by itself.
        let text = String::from_utf8_lossy(text);
        let block = if text.is_empty() {
            self.end_block()
        } else {
            self.field(&text);
            None
        };
        // Keep the buffer for the next line.
        self.line = line;
        self.line.clear();
        block
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "event" => value.clone_into(&mut self.event),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            "id" if !value.contains('\0') => value.clone_into(&mut self.next_id),
            "retry" if value.bytes().all(|byte| byte.is_ascii_digit()) => {
                // Nothing but digits, yet empty or beyond all time: ignored as well.
                if let Ok(retry_ms) = value.parse() {
                    self.block_retry_ms = Some(retry_ms);
                    self.retry_ms = Some(retry_ms);
                }
            }
            // A comment has the empty name; other names are for later.
            _ => {}
        }
    }

    fn end_block(&mut self) -> Option<Block> {
        self.last_event_id.clone_from(&self.next_id);
        let event = std::mem::take(&mut self.event);
        let mut data = std::mem::take(&mut self.data);
        let retry = self.block_retry_ms.take();
        // Without a `data` there is nothing to dispatch; one that is empty still counts.
        data.pop()?;
        Some(Block {
            event: if event.is_empty() {
                "message".to_owned()
            } else {
                event
            },
            data,
            id: Some(&self.last_event_id)
                .filter(|id| !id.is_empty())
                .cloned(),
            retry,
        })
    }
}

/// A block of the stream is longer than this reader takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a block of the event stream is longer than {max_block_bytes} bytes")]
pub struct BlockTooLong {
    /// The bound.
    pub max_block_bytes: usize,
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
