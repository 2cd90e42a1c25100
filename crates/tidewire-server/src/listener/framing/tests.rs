//! Requests, one behind the other, whole and cut at every byte.

use super::*;

const HEAD: &str = "POST /publish HTTP/1.1\r\nHost: a\r\n";

/// Where the first spoiled byte stands, when the bytes come in these parts.
fn spoiled_in_parts(bytes: &[u8], cut: usize) -> Option<usize> {
    let mut framing = Framing::new();
    let mut seen = bytes.to_vec();
    let (first, second) = seen.split_at_mut(cut);
    framing.inspect(first);
    framing.inspect(second);
    (0..bytes.len()).find(|&at| seen[at] != bytes[at])
}

/// The same however it is cut.
fn spoiled(text: &str) -> Option<usize> {
    let whole = spoiled_in_parts(text.as_bytes(), 0);
    for cut in 1..text.len() {
        let parts = spoiled_in_parts(text.as_bytes(), cut);
        assert_eq!(parts, whole, "{text:?} cut at {cut}");
    }
    whole
}

/// Requests that leave no question.
fn good() -> Vec<String> {
    [
        "\r\n",
        "Content-Length: 5\r\n\r\nabcde",
        "content-length:0\r\n\r\n",
        "Content-Length: 5 \r\nContent-Length: 5\r\n\r\nabcde",
        "Content-Length: 41\r\n\r\nTransfer-Encoding: chunked\r\n\r\nGET / HTTP/",
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "TRANSFER-ENCODING:CHUNKED\r\n\r\n5\r\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked \r\n\r\n1a;why=not\r\nContent-Length: 3\r\n\r\n\r\n123\r\n0 \r\nX: 1\r\nY: 2\r\n\r\n",
        "Content-Lengths: 5\r\nTransfer: x\r\nUpgrad: x\r\nT: x\r\n\r\n",
    ]
    .into_iter()
    .map(|rest| format!("{HEAD}{rest}"))
    .collect()
}

#[test]
fn requests_that_can_be_read_in_one_way_pass_untouched_in_any_order() {
    let good = good();
    for first in &good {
        for second in &good {
            assert_eq!(spoiled(&format!("{first}{second}")), None);
        }
    }
}

#[test]
fn a_request_that_can_be_read_in_two_ways_is_spoiled_wherever_it_stands() {
    let bad = [
        "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nX: 1\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: identity\r\n\r\n",
        "Transfer-Encoding:\r\n\r\n",
        "Transfer-Encoding: chunked\nContent-Length: 3\n\n0\r\n\r\n",
        "Content-Length: +5\r\n\r\nabcde",
        "Content-Length: 5, 5\r\n\r\nabcde",
        "Content-Length:\r\n\r\n",
        "Content-Length: 99999999999999999999\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabcdef\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0\r\nX: 1\n\n",
        "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    ];
    for rest in bad {
        let request = format!("{HEAD}{rest}");
        let at = spoiled(&request).unwrap_or_else(|| panic!("not spoiled: {request:?}"));
        for before in good() {
            let behind = spoiled(&format!("{before}{request}"));
            assert_eq!(behind, Some(before.len() + at), "{request:?}");
        }
    }
}

#[test]
fn nothing_is_looked_at_behind_a_request_for_an_upgrade() {
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n";
    let behind = "POST / HTTP/1.1\r\nTransfer-Encoding: x\r\n\r\n";
    assert_eq!(spoiled(&format!("{upgrade}{behind}")), None);
}

#[test]
fn what_is_known_of_a_request_takes_16_bytes() {
    assert!(size_of::<Framing>() <= 16);
}
