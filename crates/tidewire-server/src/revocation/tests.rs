mod opening;

use std::fs;

use tempfile::TempDir;

use super::*;
use crate::auth::{identity::TokenFacts, rights::Rights};

const HOUR: Duration = Duration::from_secs(3600);

fn token(subject: &str, id: Option<&str>, issued: Option<u64>) -> Identity {
    let facts = TokenFacts {
        subject: subject.into(),
        token_id: id.map(Into::into),
        issued,
        expires: u64::MAX,
    };
    Identity::of_token(facts, Rights::default())
}

fn subject(name: &str) -> Revoked {
    Revoked::Subject(name.into())
}

fn in_memory(max: usize) -> Revocations {
    let config = RevocationsConfig {
        max,
        ..RevocationsConfig::default()
    };
    Revocations::open(&config, None).unwrap()
}

#[tokio::test]
async fn a_subject_is_refused_with_tokens_of_that_second_and_before() {
    let revocations = in_memory(9);
    let made = revocations.add(subject("u1"), None, None).await.unwrap();
    assert!(revocations.refuse(&token("u1", None, Some(made.since))));
    assert!(revocations.refuse(&token("u1", Some("t"), None)));
    assert!(!revocations.refuse(&token("u1", None, Some(made.since + 1))));
    assert!(!revocations.refuse(&token("u2", None, Some(made.since))));
    assert!(!revocations.refuse(&Identity::anonymous(Rights::default())));
}

#[tokio::test]
async fn a_token_is_refused_by_its_id_alone() {
    let revocations = in_memory(9);
    revocations
        .add(Revoked::Token("t1".into()), None, Some(u64::MAX))
        .await
        .unwrap();
    let later = now() + 9;
    assert!(revocations.refuse(&token("u1", Some("t1"), Some(later))));
    assert!(!revocations.refuse(&token("u1", Some("t2"), None)));
    // A subject that is called like it is somebody else.
    assert!(!revocations.refuse(&token("t1", None, None)));
}

#[tokio::test]
async fn one_goes_away_at_its_end_and_one_of_a_key_has_none() {
    let revocations = in_memory(9);
    let asked = revocations
        .add(subject("u1"), Some(HOUR), Some(u64::MAX))
        .await
        .unwrap();
    assert_eq!(asked.until, Some(asked.since + 3600));
    assert!(revocations.refuse_at(&token("u1", None, None), asked.since + 3599));
    assert!(!revocations.refuse_at(&token("u1", None, None), asked.since + 3600));
    let kept = revocations.add(subject("u2"), None, None).await.unwrap();
    assert_eq!(kept.until, Some(kept.since + 30 * 24 * 3600));
    let of_a_key = revocations
        .add(subject("key:shop"), None, None)
        .await
        .unwrap();
    assert_eq!(of_a_key.until, None);
    assert!(revocations.refuse_at(&Identity::of_key("shop", Rights::default()), u64::MAX));
}

#[tokio::test]
async fn a_second_one_never_ends_sooner_than_the_first() {
    let revocations = in_memory(1);
    let first = revocations
        .add(subject("u1"), Some(2 * HOUR), None)
        .await
        .unwrap();
    let second = revocations
        .add(subject("u1"), Some(HOUR), None)
        .await
        .unwrap();
    assert_eq!(second.until, first.until);
    assert_eq!(revocations.all(), [second]);
}

#[tokio::test]
async fn at_the_bound_nothing_is_added_until_one_is_taken_back() {
    let revocations = in_memory(1);
    let first = revocations.add(subject("u1"), None, None).await.unwrap();
    let refused = revocations.add(subject("u2"), None, None).await;
    assert!(matches!(refused, Err(RevocationError::Full(1))));
    assert!(!revocations.take_back("nothing").await.unwrap());
    assert!(revocations.take_back(&first.id).await.unwrap());
    assert!(!revocations.refuse(&token("u1", None, None)));
    revocations.add(subject("u2"), None, None).await.unwrap();
}

#[tokio::test]
async fn they_are_there_again_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let open = || {
        let folder = folder.path().join("data");
        Revocations::open(&RevocationsConfig::default(), Some(folder)).unwrap()
    };
    let revocations = open();
    let kept = revocations.add(subject("u1"), None, None).await.unwrap();
    let of_token = revocations
        .add(Revoked::Token("t1".into()), None, None)
        .await
        .unwrap();
    let back = revocations.add(subject("u2"), None, None).await.unwrap();
    revocations.take_back(&back.id).await.unwrap();
    let again = open();
    assert!(again.refuse(&token("u1", None, None)));
    let mut all = again.all();
    all.sort_by_key(|each| each.id != kept.id);
    assert_eq!(all, [kept, of_token]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let folder = TempDir::new().unwrap();
    let config = RevocationsConfig::default();
    let revocations = Revocations::open(&config, Some(folder.path().into())).unwrap();
    revocations.add(subject("u1"), None, None).await.unwrap();
    let file = fs::metadata(folder.path().join("revocations.json")).unwrap();
    assert_eq!(file.permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_nothing_is_guessed() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("revocations.json");
    let told = || {
        let opened = Revocations::open(&RevocationsConfig::default(), Some(folder.path().into()));
        opened.unwrap_err().to_string()
    };
    for text in ["", "[]", r#"{"version":2,"revocations":[]}"#] {
        fs::write(&path, text).unwrap();
        assert!(told().contains("revocations.json"), "{}", told());
    }
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(told().contains("revocations.json"), "{}", told());
}

#[tokio::test]
async fn what_cannot_be_saved_is_in_force_and_what_cannot_be_forgotten_stays() {
    let folder = TempDir::new().unwrap();
    let data = folder.path().join("data");
    let revocations = Revocations::open(&RevocationsConfig::default(), Some(data.clone())).unwrap();
    // A file stands where the folder should be.
    fs::write(&data, "").unwrap();
    let refused = revocations.add(subject("u1"), None, None).await;
    assert!(matches!(refused, Err(RevocationError::NotSaved(_))));
    assert!(revocations.refuse(&token("u1", None, None)));
    let id = revocations.all()[0].id.clone();
    let refused = revocations.take_back(&id).await;
    assert!(matches!(refused, Err(RevocationError::NotTaken(_))));
    assert!(revocations.refuse(&token("u1", None, None)));
}
