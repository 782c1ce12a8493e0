//! Tokens over a real state.

use std::time::Duration;

use super::*;
use crate::base::audit::Source;
use crate::ports::fake::FakeClock;
use crate::ports::system::SystemEntropy;
use crate::telemetry::Log;

struct World {
    dir: tempfile::TempDir,
    clock: Arc<FakeClock>,
}

impl World {
    fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(dir.path(), private).expect("private");
        Self { dir, clock: Arc::new(FakeClock::at(Duration::from_secs(1_800_000_000))) }
    }

    fn open(&self) -> (Store, Tokens) {
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let (log, _writer) = Log::open(None, Arc::clone(&clock)).expect("a log");
        let store = Store::open(self.dir.path(), Arc::clone(&clock), log).expect("opened");
        let tokens = Tokens::open(store.clone(), clock, Arc::new(SystemEntropy)).expect("read");
        (store, tokens)
    }
}

fn by(actor: Actor) -> By {
    By { actor, source: Source::Control, request_id: None, confirmed: None }
}

fn root() -> By {
    by(Actor::Uid { uid: 0, user: Some("root".into()) })
}

fn asking(by: &By) -> Asking<'_> {
    Asking { by, name: "root", role: Role::Admin, scopes: &[] }
}

fn wanted(name: &str, expires_in_s: Option<u64>) -> CreateToken {
    CreateToken { name: name.into(), role: Role::Operator, scopes: Vec::new(), expires_in_s }
}

fn make(tokens: &Tokens, name: &str, expires_in_s: Option<u64>) -> TokenMade {
    tokens
        .create(asking(&root()), wanted(name, expires_in_s))
        .unwrap_or_else(|problem| panic!("{problem:?}"))
}

#[test]
fn a_token_works_from_its_answer_on_and_after_a_restart() {
    let world = World::new();
    let (store, tokens) = world.open();
    let made = make(&tokens, "ci", None);
    let bearer = tokens.bearer(&made.secret).expect("it works");
    assert_eq!((bearer.name.as_str(), bearer.role), ("ci", Role::Operator));
    assert!(tokens.list(&PageQuery::default()).items[0].last_used_at.is_some());
    drop((store, tokens));
    let (_store, tokens) = world.open();
    assert_eq!(tokens.bearer(&made.secret).expect("it still works"), bearer);
    assert!(tokens.list(&PageQuery::default()).items[0].created_by == "root");
}

#[test]
fn a_wrong_secret_and_an_unknown_id_get_the_same_answer() {
    let world = World::new();
    let (_store, tokens) = world.open();
    let (one, two) = (make(&tokens, "one", None), make(&tokens, "two", None));
    let secret = two.secret.splitn(3, '_').nth(2).expect("a secret");
    let mixed = format!("palisade_{}_{secret}", one.token.id);
    let nobody = format!("palisade_ffffffffffff_{secret}");
    let answers = [mixed.as_str(), nobody.as_str(), "palisade", "", "Bearer x"]
        .map(|text| tokens.bearer(text).expect_err("refused"));
    assert!(answers.iter().all(|answer| *answer == answers[0] && answer.status == 401));
}

#[test]
fn a_revoked_token_stops_at_once_by_id_or_by_name_and_for_good() {
    let world = World::new();
    let (store, tokens) = world.open();
    let (one, two) = (make(&tokens, "one", None), make(&tokens, "two", None));
    tokens.revoke(asking(&root()), &one.token.id).expect("revoked");
    tokens.revoke(asking(&root()), "two").expect("revoked");
    for made in [&one, &two] {
        assert_eq!(tokens.bearer(&made.secret).expect_err("gone").status, 401);
        assert!(!tokens.stands(&made.token.id));
    }
    assert_eq!(tokens.revoke(asking(&root()), "two").expect_err("gone").status, 404);
    drop((store, tokens));
    let (store, tokens) = world.open();
    assert!(
        tokens.bearer(&one.secret).is_err() && tokens.list(&PageQuery::default()).items.is_empty()
    );
    let actions: Vec<String> =
        store.intents(10).expect("read").into_iter().map(|(_, intent)| intent.action).collect();
    assert_eq!(actions, ["token.create", "token.create", "token.revoke", "token.revoke"]);
}

#[test]
fn one_that_has_ended_says_so_to_its_holder_alone_and_is_forgotten_later() {
    let world = World::new();
    let (_store, tokens) = world.open();
    let made = make(&tokens, "brief", Some(3600));
    assert!(tokens.stands(&made.token.id));
    world.clock.advance(Duration::from_secs(3600));
    let refused = tokens.bearer(&made.secret).expect_err("it has ended");
    let detail = refused.detail.expect("a detail");
    assert_eq!(refused.status, 401);
    assert!(detail.contains("the token brief ended at 2027-01-15T09:00:00Z"), "{detail}");
    assert!(detail.contains("palisade token create brief --role operator"), "{detail}");
    let guessed = format!("{}A", made.secret.split_at(made.secret.len() - 1).0);
    if guessed != made.secret {
        let guess = tokens.bearer(&guessed).expect_err("a guess").detail.expect("a detail");
        assert!(!guess.contains("brief"), "{guess}");
    }
    assert!(!tokens.stands(&made.token.id) && tokens.list(&PageQuery::default()).items[0].expired);
    world.clock.advance(Duration::from_secs(30 * 86_400));
    assert!(tokens.list(&PageQuery::default()).items.is_empty());
    make(&tokens, "brief", None);
    assert_eq!(tokens.mirror.load().len(), 1, "the old one went");
}

#[test]
fn a_token_that_was_revoked_meanwhile_makes_and_revokes_nothing() {
    let world = World::new();
    let (_store, tokens) = world.open();
    let made = make(&tokens, "maker", None);
    let holder = by(Actor::Token { id: made.token.id.clone(), name: "maker".into() });
    let child = tokens.create(asking(&holder), wanted("child", None)).expect("made");
    tokens.revoke(asking(&root()), "maker").expect("revoked");
    assert_eq!(tokens.create(asking(&holder), wanted("late", None)).err().expect("no").status, 401);
    assert_eq!(tokens.revoke(asking(&holder), "child").expect_err("no").status, 401);
    assert!(tokens.bearer(&child.secret).is_ok(), "it was made while its maker counted");
}

#[test]
fn neither_the_state_nor_the_word_about_it_holds_the_secret() {
    let world = World::new();
    let (store, tokens) = world.open();
    let made = make(&tokens, "ci", Some(60));
    let secret = made.secret.splitn(3, '_').nth(2).expect("a secret").to_owned();
    let told =
        format!("{:?} {:?}", store.intents(10).expect("read"), store.tokens().expect("read"));
    assert!(told.contains(&made.token.id) && !told.contains(&secret), "{told}");
    drop((store, tokens));
    for file in std::fs::read_dir(world.dir.path()).expect("listed") {
        let bytes = std::fs::read(file.expect("a file").path()).expect("readable");
        assert!(!bytes.windows(secret.len()).any(|part| part == secret.as_bytes()));
    }
}
