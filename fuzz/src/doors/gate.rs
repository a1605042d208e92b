//! An operator's doors for those who are nobody yet: the relay's envelope and token, the cookie, and message_1 under load.
//!
//! Input: which thing it is like, then what is changed in it.
//!
//! - no panic, and what decodes encodes to itself;
//! - no token but an issued one opens, for nobody but its relay, and no relay gets above its quota;
//! - no cookie but a baked one opens, and nobody is told more than three times what he said.

use std::sync::OnceLock;

use remote_provisioning::{
    crypto::{Secret, rustcrypto::RustCrypto},
    edhoc::{OwnCredential, read_error},
    error::Error,
    framing::{
        cookie::{AMPLIFICATION, Baker},
        relay::{Announcement, Gate, Name, Permit, Relayed, Returned, Usage},
    },
    identity::Domain,
    provisioning::{
        message::{demand, demanded},
        operator::{Config, turn_away},
    },
    sim::{IDENTITY, identities as ids},
    time::Millis,
    wire::{self, MAX_MESSAGE, Wire},
};

use super::{
    Choices, Input,
    stage::{Cast, Plot, script},
};

const NAME: &[u8] = b"relay 7";
const ADDRESS: &[u8] = b"\xc0\x00\x02\x01";
const NOW: Millis = Millis(5_000_000);
const LIFETIME: u64 = 60_000;
const EXPIRES: u64 = 1_000;

struct Props {
    key: Secret<32>,
    token: Vec<u8>,
    config: Config,
    message_1: Vec<u8>,
    cookie: Vec<u8>,
}

fn props() -> &'static Props {
    static PROPS: OnceLock<Props> = OnceLock::new();
    PROPS.get_or_init(|| {
        let key = Secret::from_slice(&[7; 32]).unwrap();
        let token = Gate::new(&key, Domain::Test).issue(&permit());
        let own = OwnCredential::chain(IDENTITY, &ids::operator_chain()).unwrap();
        let cookie = Baker::new(&key, LIFETIME).unwrap().bake(ADDRESS, &[], NOW).to_vec();
        let message_1 = script(Cast::new(0), Plot::Provision).messages[0].clone();
        Props { token, config: Config::new(own, Domain::Test), message_1, cookie, key }
    })
}

fn permit() -> Permit<'static> {
    let relay = Name::new(NAME).unwrap();
    Permit { domain: Domain::Test, relay, operations: 1, sessions: 3, bytes: 2_000, expires: EXPIRES }
}

fn relayed(session: u32) -> Relayed<'static> {
    Relayed { session, nonce: [9; 16], token: &props().token, message: &props().message_1 }
}

pub(super) fn run(data: &[u8]) {
    let Props { key, token, config, message_1, cookie } = props();
    same::<Announcement<'_>>(data);
    same::<Returned<'_>>(data);
    let _ = read_error(data).map(|error| demanded(&error).map(<[u8]>::len));
    let mut input = Input::new(data);
    let (gate, mut usage) = (Gate::new(key, Domain::Test), Usage::default());
    let baker = Baker::new(key, LIFETIME).unwrap();
    for _ in 0..8 {
        if input.is_empty() {
            return;
        }
        match input.byte() % 4 {
            0 => {
                let session = u32::from(input.byte());
                let packet = input.mutated(&wire::encode(&relayed(session)));
                same::<Relayed<'_>>(&packet);
                let Ok(relayed) = wire::decode::<Relayed<'_>>(&packet) else { continue };
                let (sender, now) =
                    (if input.byte().is_multiple_of(8) { &b"relay 8"[..] } else { NAME }, u64::from(input.byte()) * 5);
                let (is_new, before) = (input.byte() & 1 == 0, usage);
                match gate.admit(&relayed, sender, is_new, &mut usage, now, &RustCrypto) {
                    Ok(admitted) => {
                        assert_eq!((relayed.token, sender), (&token[..], NAME), "a token that nobody issued");
                        assert!(now < EXPIRES && usage.sessions <= 3 && usage.bytes <= 2_000);
                        assert_eq!(usage.bytes.checked_sub(before.bytes), u64::try_from(relayed.message.len()).ok());
                        assert!(admitted.check(0).is_ok() && admitted.check(1).is_err());
                    }
                    Err(_) => assert_eq!(usage, before, "what is refused costs nothing"),
                }
            }
            1 => {
                let claimed = input.mutated(cookie);
                let (address, now) = (input.mutated(ADDRESS), NOW.after(u64::from(input.byte()) * 1_000));
                let good = baker.check(&claimed, &address, &[], now).is_ok();
                assert!(!good || (&claimed, &address[..]) == (cookie, ADDRESS) && now < NOW.after(2 * LIFETIME));
            }
            2 => {
                let message = input.mutated(message_1);
                match turn_away(&message, config, &baker, ADDRESS, NOW, &RustCrypto) {
                    Ok(Some(said)) => assert!(said.len() <= AMPLIFICATION * message.len()),
                    Ok(None) => {
                        assert!(message.windows(cookie.len()).any(|part| part == cookie), "no cookie, no entry")
                    }
                    Err(error) => assert!(matches!(error, Error::Malformed(_) | Error::Misbehaved(_)), "{error}"),
                }
            }
            _ => {
                let told = input.mutated(&demand(cookie));
                if let Some(cookie) = read_error(&told).ok().as_ref().and_then(demanded) {
                    assert_eq!(demand(cookie), told);
                }
            }
        }
    }
}

fn same<'a, T: Wire<'a>>(bytes: &'a [u8]) {
    if let Ok(value) = wire::decode::<T>(bytes) {
        assert!(wire::encode(&value) == bytes && bytes.len() <= MAX_MESSAGE);
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    let announcement = Announcement { domain: Domain::Test, relay: Name::new(NAME).unwrap(), nonce: [9; 16] };
    vec![
        ("announcement", wire::encode(&announcement)),
        ("returned", wire::encode(&Returned { session: 3, message: b"message_2" })),
        ("demand", demand(&props().cookie)),
        ("relayed", vec![0, 1, 0, 1, 0, 0, 0, 1, 0, 1, 1, 1, 0, 2, 0, 1, 1, 1]),
        ("relayed-altered", vec![0, 1, 3, 0, 40, 1, 1, 1, 1]),
        ("other-relay", vec![0, 1, 0, 0, 1, 0]),
        ("cookie", vec![1, 0, 0, 10, 1, 0, 3, 0, 0, 2, 1, 1, 1, 3, 0, 0, 5, 1, 0, 0]),
        ("message-1", vec![2, 0, 2, 3, 0, 0, 30, 1]),
        ("demand-altered", vec![3, 0, 3, 3, 0, 0, 2, 1, 3, 5, 0, 3, 0, 1, 9]),
    ]
}
