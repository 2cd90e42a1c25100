//! A session that opens while it is revoked: whoever comes first, it is found.
//!
//! Shape: a session is in the list first and looks at the revocations afterwards; whoever revokes says so first and looks
//! through the list afterwards. One side is held up between its two steps here, and the other one does all of its own.

use std::{
    thread,
    time::{Duration, Instant},
};

use axum::body::Body;
use http::{Request, StatusCode, header::CONTENT_TYPE};
use tidewire_protocol::CloseReason;
use tower::ServiceExt;

use super::*;
use crate::{
    admin,
    gateway::Shared,
    host::HostName,
    sessions::Entry,
    transport::tests::{gateway, seat},
};

/// Holds the look at the revocations up until the list has a session that fits, and revokes `u1` only then. The session is
/// in the list when this returns.
async fn revoke_once_it_is_in_the_list(
    gateway: &Shared,
    fits: fn(&Entry) -> bool,
    act: impl FnOnce() -> Option<CloseReason> + Send,
) -> Option<CloseReason> {
    let revocations = gateway.auth.revocations();
    // Somebody else: without any there is nothing to look at.
    revocations.add(subject("u2"), None, None).await.unwrap();
    thread::scope(|threads| {
        // In here, so that a failure gives it back before the thread is waited for.
        let mut known = revocations.known.write().unwrap();
        let acting = threads.spawn(act);
        let begun = Instant::now();
        while !gateway
            .open_sessions
            .page(0)
            .iter()
            .any(|entry| fits(entry))
        {
            assert!(begun.elapsed() < DEADLINE, "it looked before it was there");
            thread::yield_now();
        }
        known.insert(Revocation {
            id: random_id(),
            revoked: subject("u1"),
            since: now(),
            until: None,
        });
        drop(known);
        acting.join().unwrap()
    })
}

fn is_of_u1(entry: &Entry) -> bool {
    entry.is(|identity, _| identity.subject() == Some("u1"))
}

#[tokio::test]
async fn a_session_is_in_the_list_before_it_looks_whether_it_was_revoked() {
    let gateway = gateway();
    let identity = token("u1", None, None);
    let open = || seat(&gateway, &identity).entry().ending();
    let ending = revoke_once_it_is_in_the_list(&gateway, is_of_u1, open).await;
    assert_eq!(ending, Some(CloseReason::Kicked));
}

#[tokio::test]
async fn a_session_that_says_late_who_it_is_looks_after_it_has_said_so() {
    let gateway = gateway();
    let late = seat(&gateway, &Identity::anonymous(Rights::default()));
    let identity = token("u1", None, None);
    let say = || {
        late.identify(&identity);
        late.entry().ending()
    };
    let ending = revoke_once_it_is_in_the_list(&gateway, is_of_u1, say).await;
    assert_eq!(ending, Some(CloseReason::Kicked));
}

#[tokio::test]
async fn a_session_that_opens_while_a_kick_is_under_way_is_ended_by_it() {
    let gateway = gateway();
    let file = gateway.auth.revocations().file.lock().await;
    let mut kick = Request::post("/admin/kick")
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(r#"{"subject":"u1","revoke":true}"#))
        .unwrap();
    kick.extensions_mut()
        .insert(HostName::parse("localhost").unwrap());
    let kick = tokio::spawn(admin::routes(&gateway).oneshot(kick));
    // On one thread: it goes on until it waits for the file.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let late = seat(&gateway, &token("u1", None, None));
    assert_eq!(late.entry().ending(), None);
    drop(file);
    assert_eq!(kick.await.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(late.entry().ending(), Some(CloseReason::Kicked));
}

/// Only catches a hang.
const DEADLINE: Duration = Duration::from_secs(20);
