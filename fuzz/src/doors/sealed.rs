//! Sealed sessions. Input: which kind, how it lies there, and the bytes: a token as it comes; or the state in it, for whoever
//! has lost the key.
//!
//! - no panic;
//! - no token opens but one that was sealed;
//! - what opens seals to a state that opens to the same one, and goes on without panic: it hears what an honest peer says.

use std::sync::OnceLock;

use remote_provisioning::{
    Operator,
    crypto::{Crypto, Rng, Secret},
    edhoc::{MAX_TOKEN, Seal, Session, responder},
    error::Error,
    identity::Domain,
    provisioning::operator::{Action, Config},
    sim::{SeededRng, TODAY},
    time::Millis,
    trust::Date,
    wire,
};

use super::{
    Choices, Input,
    glass::{Glass, TAG},
    memo::Memo,
    stage::{Cast, OPERATOR_SEED, Office, Plot, opening, script},
};

/// The token as it comes.
const WHOLE: u8 = 0x80;

const NUMBER: [u8; 16] = [6; 16];
const EXPIRES: Date = Date(TODAY.0 + 60);

fn key() -> Secret<32> {
    Secret::from_slice(&[8; 32]).unwrap()
}

/// Where the state is in a token that nobody could read: behind the head of the array, version, kind, number and date.
fn state(token: &[u8]) -> Vec<u8> {
    let mut reader = wire::Reader::new(token).unwrap();
    reader.array_of(5).unwrap();
    for _ in 0..4 {
        reader.raw().unwrap();
    }
    let inside = reader.bytes().unwrap();
    inside[..inside.len() - 16].to_vec()
}

pub(super) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.byte();
    let bytes = input.rest();
    let whole = choice & WHOLE != 0;
    let token = if whole {
        bytes.to_vec()
    } else {
        wire::encode_with(|w| {
            w.array(5);
            w.unsigned(1);
            w.unsigned(u64::from(choice % 4) + 1);
            w.bytes(&NUMBER);
            w.unsigned(EXPIRES.0);
            w.bytes(&[bytes, &[TAG; 16]].concat());
        })
    };
    let crypto: &dyn Crypto = if whole { &Memo } else { &Glass::True };
    match choice % 4 {
        0 => {
            let open = |token: &[u8]| responder::AwaitMessage3::open(token, &key(), TODAY, crypto)?.first_use(true);
            let Some(opened) = settled(&token, whole, open, |opened, seal, rng| opened.seal(seal, crypto, rng)) else {
                return;
            };
            let _ = opened.read(&messages()[2], crypto).map(|message| message.claimed().map(|_| ()));
        }
        1 => {
            let open = |token: &[u8]| responder::Message3Accepted::open(token, &key(), TODAY, crypto)?.first_use(true);
            let Some(opened) = settled(&token, whole, open, |opened, seal, rng| opened.seal(seal, crypto, rng)) else {
                return;
            };
            let _ = opened.write(&[], crypto).map(|_| ());
        }
        2 => {
            let open = |token: &[u8]| Session::open(token, &key(), TODAY, crypto)?.first_use(true);
            let Some(mut opened) = settled(&token, whole, open, |opened, seal, rng| opened.seal(seal, crypto, rng))
            else {
                return;
            };
            opened.export(0xce01, b"", &mut [0; 32], crypto).unwrap();
            opened.update(b"", crypto).unwrap();
            let _ = opened.oscore(crypto);
        }
        _ => operator(&token, whole, crypto),
    }
}

fn operator(token: &[u8], whole: bool, crypto: &dyn Crypto) {
    let cast = Cast::new(0).in_glass();
    let (_, home) = opening(cast, Plot::Provision);
    let mut office = Office::new(cast, home, OPERATOR_SEED);
    let open = |token: &[u8]| {
        let config = Config::new(cast.operator().own.clone(), Domain::Test);
        let mut operator = Operator::open(config, token, &key(), TODAY, Millis(0), crypto)?.first_use(true)?;
        // When it wakes, if it does.
        assert!(matches!(operator.poll(), Some(Action::WakeAt(_)) | None) && operator.poll().is_none());
        Ok(operator)
    };
    let Some(opened) = settled(token, whole, open, |opened, seal, rng| opened.seal(seal, crypto, rng)) else { return };
    office.operator = opened;
    for message in messages() {
        let _ = office.take(message);
        assert!(office.sent().iter().all(|sent| sent.len() <= MAX_TOKEN));
    }
}

/// What was opened: only what was sealed, where the key was not lost. Sealed and opened again, it is the same.
fn settled<T>(
    token: &[u8],
    whole: bool,
    open: impl Fn(&[u8]) -> Result<T, Error>,
    seal: impl Fn(&T, &Seal<'_>, &mut dyn Rng) -> Result<Vec<u8>, Error>,
) -> Option<T> {
    let opened = open(token);
    assert!(opened.is_err() || !whole || tokens().iter().any(|known| known == token), "a token that nobody sealed");
    let opened = opened.ok()?;
    let (key, rng) = (key(), SeededRng::new(1));
    let seal = |state: &T| seal(state, &Seal { key: &key, expires: EXPIRES }, &mut rng.clone());
    match seal(&opened) {
        Ok(once) => {
            let again = open(&once).expect("what was sealed opens");
            assert_eq!(seal(&again), Ok(once), "two forms of one state");
        }
        Err(error) => assert!(token.len() + 64 > MAX_TOKEN, "{error}"),
    }
    Some(opened)
}

fn messages() -> &'static [Vec<u8>] {
    static MESSAGES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    MESSAGES.get_or_init(|| script(Cast::new(0).in_glass(), Plot::Provision).messages.clone())
}

/// A few that were sealed with a key that nobody has lost.
fn tokens() -> &'static [Vec<u8>] {
    static TOKENS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    TOKENS.get_or_init(|| {
        let cast = Cast::new(0);
        let (_, home) = opening(cast, Plot::Provision);
        let mut office = Office::new(cast, home, OPERATOR_SEED);
        let script = script(cast, Plot::Provision);
        [0, 2]
            .map(|number| {
                office.take(&script.messages[number]).unwrap();
                office.sent();
                let seal = Seal { key: &key(), expires: EXPIRES };
                office.operator.seal(&seal, &Memo, &mut SeededRng::new(9)).unwrap()
            })
            .into()
    })
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(String, Vec<u8>)> {
    let crypto = &Glass::True;
    let (key, rng) = (key(), &mut SeededRng::new(9));
    let seal = Seal { key: &key, expires: EXPIRES };
    let mut seeds = Vec::new();
    for (name, cast, plot) in
        [("chain", 0, Plot::Provision), ("kid", 2 << 2 | 3, Plot::Provision), ("resume", 0, Plot::Resume)]
    {
        let cast = Cast::new(cast).in_glass();
        let script = script(cast, plot);
        let (_, home) = opening(cast, plot);
        let mut office = Office::new(cast, home, OPERATOR_SEED);
        for (number, step) in [(0, "greeted"), (2, "offered")] {
            office.take(&script.messages[number]).unwrap();
            let mut asked = 0;
            while let Some(action) = office.operator.poll() {
                let Action::Ask(question) = action else { continue };
                asked += 1;
                // While a question is open.
                let token = office.operator.seal(&seal, crypto, rng).unwrap();
                if name == "chain" {
                    seeds.push((format!("operator-{step}-asks-{asked}"), [&[3], state(&token).as_slice()].concat()));
                }
                let answer = office.home.answer(question);
                office.answer(answer).unwrap();
            }
            let token = office.operator.seal(&seal, crypto, rng).unwrap();
            seeds.push((format!("operator-{step}-{name}"), [&[3], state(&token).as_slice()].concat()));
        }
        for (kind, token) in super::edhoc::tokens(cast, &seal, rng) {
            seeds.push((format!("session-{kind}-{name}"), [&[kind], state(&token).as_slice()].concat()));
        }
    }
    for (number, token) in tokens().iter().enumerate() {
        seeds.push((format!("whole-{number}"), [&[3 | WHOLE], token.as_slice()].concat()));
    }
    seeds
}
