//! REST over TLS: publish, read, headers, refusals.

use serde_json::json;

use crate::gateway::{Gateway, json, refused, sent};

#[tokio::test]
async fn an_event_that_was_published_is_read_again() {
    let gateway = Gateway::start();
    let id = gateway.publish("orders.eu.1", json!({"total": 42})).await;
    let page = json(sent(gateway.get("/topics/orders.eu.1/events")).await).await;
    assert_eq!(page["events"][0]["id"], id);
    assert_eq!(page["events"][0]["data"]["total"], 42);
    let info = json(sent(gateway.get("/topics/orders.eu.1")).await).await;
    assert_eq!(
        (&info["retained"], &info["newest"]),
        (&json!(1), &json!(id))
    );
    let empty = json(sent(gateway.get("/topics/nobody.knows")).await).await;
    assert_eq!(
        (&empty["retained"], &empty["newest"]),
        (&json!(0), &json!(null))
    );
}

#[tokio::test]
async fn one_bad_element_loses_none_of_the_others() {
    let gateway = Gateway::start();
    let body = r#"[{"topic":"a","data":1},{"topic":"a..b","data":2},{"topic":"$sys","data":3},{"topic":"b","data":4}]"#;
    let request = gateway
        .post("/publish")
        .header("content-type", "application/json")
        .body(body);
    let answer = sent(request.header("idempotency-key", "k")).await;
    assert_eq!(answer.status(), 200);
    let answers = json(answer).await;
    assert_eq!(answers[0]["topic"], "a");
    assert_eq!(answers[1]["code"], "bad_topic");
    assert_eq!(answers[2]["code"], "forbidden");
    assert_eq!(answers[3]["topic"], "b");
    let request = gateway
        .post("/publish")
        .header("content-type", "application/json")
        .body(body);
    let again = json(sent(request.header("idempotency-key", "k")).await).await;
    assert_eq!(again[3]["id"], answers[3]["id"]);
    assert_eq!(again[3]["duplicate"], true);
}

#[tokio::test]
async fn a_repeated_key_is_the_first_event_and_another_payload_a_conflict() {
    let gateway = Gateway::start();
    let post = |data: &'static str| {
        gateway
            .post("/topics/a?type=t")
            .header("idempotency-key", "k")
            .body(data)
    };
    let first = sent(post("1")).await;
    assert_eq!(first.status(), 201);
    let first = json(first).await;
    let second = sent(post("1")).await;
    assert_eq!(second.status(), 200);
    assert_eq!(json(second).await["id"], first["id"]);
    refused(post("2"), 409, "key_reused").await;
}

#[tokio::test]
async fn what_does_not_fit_is_a_problem_with_its_code() {
    let gateway = Gateway::start();
    for (request, status, code) in [
        (gateway.get("/nowhere"), 404, "not_found"),
        (
            gateway.client().put(gateway.url("/publish")),
            405,
            "method_not_allowed",
        ),
        (
            gateway.client().put(gateway.url("/ws")),
            405,
            "method_not_allowed",
        ),
        (gateway.get("/ws"), 426, "upgrade_required"),
        (gateway.get("/sse"), 400, "bad_request"),
        (gateway.get("/poll?topic=a..b"), 400, "bad_topic"),
        (gateway.get("/poll?topic=a&after=x"), 400, "bad_cursor"),
        (
            gateway.get("/sse?topic=a").header("last-event-id", "-1"),
            400,
            "bad_cursor",
        ),
        (gateway.get("/poll?topic=a&presence=1"), 400, "bad_request"),
        (gateway.get("/poll?topic=a&ticket=x"), 401, "unauthorized"),
        (
            gateway.get("/poll?topic=a").bearer_auth("nonsense"),
            401,
            "unauthorized",
        ),
        (gateway.get("/topics/a.*"), 400, "bad_topic"),
        (gateway.get("/topics/a%FF"), 400, "bad_topic"),
        (gateway.get("/topics/a%252e"), 400, "bad_topic"),
        (
            gateway.client().delete(gateway.url("/topics/a/events")),
            401,
            "unauthorized",
        ),
        (gateway.post("/topics/$sys").body("1"), 403, "forbidden"),
        (
            gateway.post("/topics/a?type=").body("1"),
            400,
            "bad_request",
        ),
        (
            gateway
                .post("/topics/a")
                .header("content-type", "application/json")
                .body("{"),
            400,
            "bad_json",
        ),
        (
            gateway
                .post("/topics/a")
                .header("content-encoding", "gzip")
                .body("1"),
            415,
            "unsupported_media_type",
        ),
        (
            gateway
                .post("/topics/a")
                .header("idempotency-key", "")
                .body("1"),
            400,
            "bad_request",
        ),
        (
            gateway.post("/topics/a").body("x".repeat(70_000)),
            413,
            "too_large",
        ),
        (gateway.post("/publish").body("[]"), 400, "bad_request"),
        (
            gateway
                .post("/publish")
                .header("content-type", "text/plain")
                .body("1"),
            415,
            "unsupported_media_type",
        ),
        (
            gateway.post("/publish").body(" ".repeat(2_000_000)),
            413,
            "too_large",
        ),
    ] {
        refused(request, status, code).await;
    }
    let allow = refused(
        gateway.client().put(gateway.url("/topics/a")),
        405,
        "method_not_allowed",
    )
    .await;
    assert_eq!(allow["allow"], "POST,GET,HEAD");
}

#[tokio::test]
async fn a_chunked_body_without_a_length_is_bounded_too() {
    let gateway = Gateway::start();
    let chunks = (0..64).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024]));
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    refused(gateway.post("/publish").body(body), 413, "too_large").await;
}

#[tokio::test]
async fn every_answer_has_the_headers_that_protect_it() {
    let gateway = Gateway::start();
    for path in [
        "/",
        "/openapi.json",
        "/nowhere",
        "/poll?topic=a",
        "/poll",
        "/topics/a",
    ] {
        let response = sent(gateway.get(path)).await;
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert!(
            headers["strict-transport-security"]
                .to_str()
                .unwrap()
                .starts_with("max-age="),
            "{path}"
        );
        assert!(headers.contains_key("cache-control"), "{path}");
        let mut vary = headers.get_all("vary").iter();
        assert!(vary.any(|value| value == "Origin"), "{path}");
        assert_eq!(headers["referrer-policy"], "no-referrer", "{path}");
    }
    let poll = sent(gateway.get("/poll?topic=a")).await;
    assert_eq!(poll.headers()["cache-control"], "no-store");
    let cursor = poll.headers()["tidewire-cursor"]
        .to_str()
        .unwrap()
        .to_owned();
    assert_eq!(poll.headers()["etag"], format!("\"{cursor}\""));
    assert_eq!(json(poll).await["cursor"], cursor);
}

#[tokio::test]
async fn a_listed_page_may_ask_and_read_errors_and_a_foreign_one_may_nothing() {
    let gateway = Gateway::with(|config| {
        config.http.allowed_origins = vec!["https://app.example.com".into()]
    });
    let ours = "https://app.example.com";
    let preflight = gateway
        .client()
        .request(reqwest::Method::OPTIONS, gateway.url("/publish"))
        .header("origin", ours)
        .header("access-control-request-method", "POST");
    let preflight = sent(preflight).await;
    assert_eq!(preflight.status(), 204);
    assert_eq!(preflight.headers()["access-control-allow-origin"], ours);
    assert!(
        preflight.headers()["access-control-allow-headers"]
            .to_str()
            .unwrap()
            .contains("Idempotency-Key")
    );
    let error = refused(
        gateway.get("/poll").header("origin", ours),
        400,
        "bad_request",
    )
    .await;
    assert_eq!(error["access-control-allow-origin"], ours);
    assert!(
        error["access-control-expose-headers"]
            .to_str()
            .unwrap()
            .contains("Tidewire-Cursor")
    );
    for foreign in ["null", "https://evil.io", "https://app.example.com.evil.io"] {
        for path in ["/poll?topic=a", "/sse?topic=a", "/ws", "/topics/a"] {
            let headers = refused(
                gateway.get(path).header("origin", foreign),
                403,
                "forbidden",
            )
            .await;
            assert!(!headers.contains_key("access-control-allow-origin"));
        }
        refused(
            gateway
                .post("/topics/a")
                .header("origin", foreign)
                .body("1"),
            403,
            "forbidden",
        )
        .await;
    }
}

#[tokio::test]
async fn a_publisher_over_its_rate_is_told_when_to_come_back() {
    let gateway = Gateway::with(|config| config.limits.publishes_per_second = 2);
    let post = || gateway.post("/topics/a").body("1");
    assert_eq!(sent(post()).await.status(), 201);
    assert_eq!(sent(post()).await.status(), 201);
    // The bucket may drip while the requests travel, never as fast as they are sent here.
    let body = (0..50)
        .map(|_| "{\"topic\":\"a\",\"data\":1}\n")
        .collect::<String>();
    let request = gateway
        .post("/publish")
        .header("content-type", "application/x-ndjson")
        .body(body);
    let answers = json(sent(request).await).await;
    assert_eq!(answers[49]["code"], "rate_limited");
    assert!(answers[49]["retry_after_s"].as_u64().is_some());
}

#[tokio::test]
async fn an_api_key_opens_what_it_was_given() {
    let gateway = Gateway::with(|config| {
        config.auth = serde_json::from_value(json!({
            "anonymous": {},
            "keys": [{
                "name": "shop",
                "sha256": "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b",
                "publish": ["orders.>"], "subscribe": ["orders.*"], "forget": ["orders.old"]
            }]
        }))
        .unwrap();
    });
    let headers = refused(
        gateway.post("/topics/orders.a").body("1"),
        401,
        "unauthorized",
    )
    .await;
    assert_eq!(headers["www-authenticate"], "Bearer");
    let with_key = |request: reqwest::RequestBuilder| request.bearer_auth("secret");
    assert_eq!(
        sent(with_key(gateway.post("/topics/orders.old").body("1")))
            .await
            .status(),
        201
    );
    refused(
        with_key(gateway.post("/topics/other").body("1")),
        403,
        "forbidden",
    )
    .await;
    refused(
        with_key(gateway.get("/poll?topic=orders.%3E")),
        403,
        "forbidden",
    )
    .await;
    assert_eq!(
        sent(with_key(gateway.get("/poll?topic=orders.a")))
            .await
            .status(),
        200
    );
    let forget = with_key(
        gateway
            .client()
            .delete(gateway.url("/topics/orders.old/events")),
    );
    assert_eq!(sent(forget).await.status(), 204);
    let info = json(sent(with_key(gateway.get("/topics/orders.old"))).await).await;
    assert_eq!(info["retained"], 0);
}

#[tokio::test]
async fn the_admin_port_answers_on_loopback_names_only() {
    let gateway = Gateway::start();
    gateway.publish("a", json!(1)).await;
    assert_eq!(gateway.admin("/healthz").await.status(), 200);
    assert_eq!(gateway.admin("/readyz").await.status(), 200);
    assert_eq!(gateway.admin("/nowhere").await.status(), 404);
    let metrics = gateway.admin("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("tidewire_events_published_total 1"),
        "{metrics}"
    );
    assert!(metrics.contains("tidewire_append_duration_seconds_count 1"));
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(gateway.tls(&[]))
        .build()
        .unwrap();
    let metrics = format!("http://{}/metrics", gateway.admin);
    refused(
        client.get(&metrics).header("host", "evil.io"),
        403,
        "forbidden",
    )
    .await;
    refused(
        client.get(&metrics).header("origin", "https://evil.io"),
        403,
        "forbidden",
    )
    .await;
    for path in ["/metrics", "/healthz", "/readyz"] {
        refused(gateway.get(path), 404, "not_found").await;
    }
}

#[tokio::test]
async fn a_name_that_is_configured_opens_the_admin_port_too() {
    let gateway = Gateway::with(|config| {
        config.http.admin_hosts = vec!["ops.internal:9000".into(), "any.internal".into()];
    });
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(gateway.tls(&[]))
        .build()
        .unwrap();
    for (host, status) in [
        ("ops.internal:9000", 200),
        ("ops.internal:9001", 403),
        ("ops.internal", 403),
        ("any.internal", 200),
        ("any.internal:9001", 200),
        ("internal", 403),
        ("x.any.internal", 403),
    ] {
        let health = format!("http://{}/healthz", gateway.admin);
        let answer = sent(client.get(health).header("host", host)).await;
        assert_eq!(answer.status(), status, "{host}");
    }
}

#[tokio::test]
async fn the_openapi_document_names_paths_that_exist_and_every_code() {
    let gateway = Gateway::start();
    let document = json(sent(gateway.get("/openapi.json")).await).await;
    for path in document["paths"].as_object().unwrap().keys() {
        let path = path.replace("{topic}", "a");
        let wrong = gateway.client().patch(gateway.url(&path));
        refused(wrong, 405, "method_not_allowed").await;
    }
    let named = document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"].clone();
    let known: Vec<&str> = tidewire_protocol::Code::all()
        .map(|code| code.as_str())
        .collect();
    assert_eq!(named, json!(known));
}

#[tokio::test]
async fn the_plain_port_only_says_where_https_is() {
    let gateway = Gateway::start();
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(gateway.tls(&[]))
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let plain = |path: &str| format!("http://{}{path}", gateway.redirect);
    for path in ["/", "/sse?topic=a.%3E", "/metrics"] {
        let moved = sent(client.get(plain(path))).await;
        assert_eq!(moved.status(), 308);
        let place = format!("https://{}{path}", gateway.address);
        assert_eq!(moved.headers()["location"], place);
        assert!(!moved.headers().contains_key("strict-transport-security"));
    }
    refused(client.post(plain("/topics/a")).body("1"), 403, "forbidden").await;
}
