//! Relays: who may forward what, and a first provisioning through one.

use remote_provisioning::{
    crypto::{Crypto, Secret, rustcrypto::RustCrypto},
    error::{Error, Malformed, Misuse, Refused, Relay, Told},
    framing::{
        Profile,
        link::{self, Client, Server},
        relay::{Admitted, Announcement, Gate, MAX_NAME, MAX_RELAYED, Permit, Relayed, Returned, Usage},
    },
    identity::Domain,
    sim::identities,
    time::{Millis, Retry},
    wire::{MAX_MESSAGE, decode, encode},
};

use crate::machines::provision;

const NAME: &[u8] = b"relay 7";
const NOW: u64 = 1_800_000_000;
const NONCE: [u8; 16] = [9; 16];

fn key(byte: u8) -> Secret<32> {
    Secret::from_slice(&[byte; 32]).unwrap()
}

fn permit() -> Permit<'static> {
    Permit {
        domain: Domain::Test,
        relay: NAME,
        // Provision and resume.
        operations: 1 | 1 << 5,
        sessions: 2,
        bytes: 1_000,
        expires: NOW + 60,
    }
}

fn admit(
    token: &[u8],
    message: &[u8],
    sender: &[u8],
    is_new: bool,
    usage: &mut Usage,
    now: u64,
) -> Result<Admitted, Error> {
    let key = key(7);
    let relayed = Relayed { session: 1, nonce: NONCE, token, message };
    // As it goes over the wire.
    let bytes = encode(&relayed);
    let relayed = decode(&bytes)?;
    Gate::new(&key, Domain::Test).admit(&relayed, sender, is_new, usage, now, &RustCrypto)
}

fn token(change: impl FnOnce(&mut Permit<'static>)) -> Vec<u8> {
    let (key, mut permit) = (key(7), permit());
    change(&mut permit);
    Gate::new(&key, Domain::Test).issue(&permit).unwrap()
}

#[test]
fn envelopes_byte_for_byte() {
    let nonce = [0xaa; 16];
    let announcement = Announcement { domain: Domain::Test, relay: b"r", nonce };
    let bytes = [b"\x84\x01\x01\x41r\x50", &nonce[..]].concat();
    assert_eq!(encode(&announcement), bytes);
    assert_eq!(decode(&bytes), Ok(announcement));
    assert_eq!(announcement.hash(&RustCrypto), RustCrypto.sha256(&[&bytes]));
    let relayed = Relayed { session: 500, nonce, token: b"t", message: b"m" };
    let bytes = [b"\x85\x02\x19\x01\xf4\x50", &nonce[..], b"\x41t\x41m"].concat();
    assert_eq!(encode(&relayed), bytes);
    assert_eq!(decode(&bytes), Ok(relayed));
    let returned = Returned { session: 0, message: b"m" };
    assert_eq!(encode(&returned), b"\x83\x03\x00\x41m");
    assert_eq!(decode(b"\x83\x03\x00\x41m"), Ok(returned));
    // None is taken for another.
    assert_eq!(decode::<Returned<'_>>(b"\x83\x02\x00\x41m"), Err(Malformed::OutOfRange));
    // The longest of all parts fit.
    let name = [7; MAX_NAME];
    let longest = token(|permit| {
        *permit = Permit { sessions: u32::MAX, operations: u32::MAX, bytes: u64::MAX, expires: u64::MAX, ..*permit };
    });
    let key = key(7);
    let named = Gate::new(&key, Domain::Test)
        .issue(&Permit {
            relay: &name,
            sessions: u32::MAX,
            operations: u32::MAX,
            bytes: u64::MAX,
            expires: u64::MAX,
            ..permit()
        })
        .unwrap();
    assert_eq!(named.len(), longest.len() + 1 + MAX_NAME - NAME.len());
    let message = [0; MAX_RELAYED];
    let whole = encode(&Relayed { session: u32::MAX, nonce, token: &named, message: &message });
    assert_eq!(whole.len(), MAX_MESSAGE);
    println!("a token has up to {} bytes, the envelope {} more", named.len(), whole.len() - named.len() - MAX_RELAYED);
}

#[test]
fn only_an_authorised_relay_forwards() {
    let token = token(|_| {});
    let admitted = |bytes: &[u8], sender: &[u8], now| {
        let mut usage = Usage::default();
        let result = admit(bytes, &[0; 100], sender, true, &mut usage, now);
        assert_eq!(usage == Usage::default(), result.is_err(), "what is refused costs nothing");
        result.map(|_| ())
    };
    assert_eq!(admitted(&token, NAME, NOW), Ok(()));
    assert_eq!(admitted(&token, b"relay 8", NOW), Err(Relay::OtherRelay.into()));
    assert_eq!(admitted(&token, b"", NOW), Err(Relay::OtherRelay.into()));
    assert_eq!(admitted(&token, NAME, NOW + 59), Ok(()));
    assert_eq!(admitted(&token, NAME, NOW + 60), Err(Relay::Expired.into()));
    assert_eq!(admitted(&token, NAME, u64::MAX), Err(Relay::Expired.into()));
    assert_eq!(
        admitted(&self::token(|permit| permit.domain = Domain::Production), NAME, NOW),
        Err(Relay::Scope.into())
    );
    // Every bit of it changed: no token, or not this operator's.
    for bit in 0..8 * token.len() {
        let mut altered = token.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let error = admitted(&altered, NAME, NOW).unwrap_err();
        assert!(error == Relay::Token.into() || matches!(error, Error::Malformed(_)), "bit {bit}: {error}");
    }
    let other = key(8);
    let others = Gate::new(&other, Domain::Test).issue(&permit()).unwrap();
    assert_eq!(admitted(&others, NAME, NOW), Err(Relay::Token.into()));
    assert_eq!(admitted(b"", NAME, NOW), Err(Malformed::Truncated.into()));
    for name in [&[][..], &[7; MAX_NAME + 1]] {
        let refused = Gate::new(&other, Domain::Test).issue(&Permit { relay: name, ..permit() });
        assert_eq!(refused, Err(Misuse::Parameter("the name of a relay has 1 to 32 bytes")));
    }
}

#[test]
fn a_quota_is_used_up() {
    let token = token(|_| {});
    let mut usage = Usage::default();
    let mut forward = |len: usize, is_new| admit(&token, &vec![0; len], NAME, is_new, &mut usage, NOW).map(|_| ());
    let quota = || Err(Error::from(Relay::Quota));
    assert_eq!(forward(1_001, true), quota(), "more than all");
    assert_eq!(forward(400, true), Ok(()));
    assert_eq!(forward(100, true), Ok(()));
    assert_eq!(forward(1, true), quota(), "a third session");
    assert_eq!(forward(501, false), quota());
    assert_eq!(forward(500, false), Ok(()));
    assert_eq!(forward(1, false), quota());
    assert_eq!(forward(0, false), Ok(()));
    assert_eq!(usage, Usage { sessions: 2, bytes: 1_000 });
    // Numbers that come round would open the gate again.
    let boundless = self::token(|permit| (permit.sessions, permit.bytes) = (u32::MAX - 1, u64::MAX));
    let mut usage = Usage { sessions: u32::MAX, bytes: u64::MAX };
    assert_eq!(admit(&boundless, b"x", NAME, true, &mut usage, NOW), quota().map(|()| unreachable!()));
}

#[test]
fn a_token_is_for_its_operations() {
    let admitted = admit(&token(|_| {}), b"x", NAME, true, &mut Usage::default(), NOW).unwrap();
    for operation in 0..=u8::MAX {
        let expected = if [0, 5].contains(&operation) { Ok(()) } else { Err(Relay::Scope) };
        assert_eq!(admitted.check(operation), expected, "{operation}");
    }
    let announcement = Announcement { domain: Domain::Test, relay: NAME, nonce: NONCE };
    assert_eq!(admitted.relay, announcement.hash(&RustCrypto));
    // Another relay, or another announcement of this one, has another hash.
    for other in [Announcement { relay: b"relay 8", ..announcement }, Announcement { nonce: [8; 16], ..announcement }] {
        assert_ne!(other.hash(&RustCrypto), admitted.relay);
    }
}

// ------------------------------------------------------------------------------------------------- a whole provisioning

/// What the relay has seen, and how it ended.
#[derive(Default)]
struct Seen {
    bytes: Vec<u8>,
    forwarded: Vec<usize>,
    packets: usize,
    ended: Option<Result<(), Error>>,
    installed: bool,
    usage: Usage,
    refused: Option<Error>,
}

/// A device that is told of a relay by `announced`, and speaks SMS with it; the relay forwards with `token`.
fn through(announced: &Announcement<'_>, token: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut client = Client::new(Profile::SMS, Retry { first: 2_000, attempts: 8 }, 1);
    let mut relay = Server::new(Profile::SMS, 60_000, 1);
    let (now, mut is_new) = (Millis(0), true);
    let (ended, installed) = provision(Some(announced.hash(&RustCrypto)), |message, ask| {
        client.send(message, now).unwrap();
        loop {
            let mut quiet = true;
            while let Some(action) = client.poll() {
                quiet = false;
                match action {
                    link::Action::Send(packet) => {
                        seen.packets += 1;
                        relay.handle_packet(&packet, now).unwrap();
                    }
                    link::Action::Received(answer) => return Some(answer),
                    _ => {}
                }
            }
            while let Some(action) = relay.poll() {
                quiet = false;
                match action {
                    link::Action::Send(packet) => {
                        seen.packets += 1;
                        client.handle_packet(&packet, now).unwrap();
                    }
                    link::Action::Received(message) => {
                        seen.bytes.extend_from_slice(&message);
                        seen.forwarded.push(message.len());
                        match admit(token, &message, NAME, core::mem::take(&mut is_new), &mut seen.usage, NOW) {
                            Ok(admitted) => {
                                let answer = ask(&message, Some(admitted.relay));
                                let returned = encode(&Returned { session: 1, message: &answer });
                                let Returned { message: answer, .. } = decode(&returned).unwrap();
                                seen.bytes.extend_from_slice(answer);
                                relay.send(answer).unwrap();
                            }
                            Err(error) => seen.refused = Some(error),
                        }
                    }
                    _ => {}
                }
            }
            if quiet {
                return None;
            }
        }
    });
    Seen { ended, installed, ..seen }
}

#[test]
fn a_first_provisioning_over_sms_through_a_relay() {
    let announced = Announcement { domain: Domain::Test, relay: NAME, nonce: NONCE };
    let generous = token(|permit| permit.bytes = 3_000);
    let seen = through(&announced, &generous);
    assert_eq!((seen.ended, seen.installed), (Some(Ok(())), true));
    let up: usize = seen.forwarded.iter().sum();
    println!("{} packets of SMS, {up} bytes forwarded", seen.packets);
    assert_eq!(seen.usage, Usage { sessions: 1, bytes: up as u64 });
    assert_eq!(seen.forwarded.len(), 3);
    // Neither who the device is, nor by whom it is served.
    let contains = |secret: &[u8]| seen.bytes.windows(secret.len()).any(|window| window == secret);
    let chain = identities::device_chain();
    for secret in [&b"IOT-0001"[..], b"0010100000", b"provisioning.example", &chain[0][..32], &chain[0][100..132]] {
        assert!(!contains(secret));
    }
    assert!(seen.bytes.len() > up);
}

#[test]
fn a_relay_that_is_not_the_one_named_gets_nothing_through() {
    let generous = token(|permit| permit.bytes = 3_000);
    for other in [
        Announcement { domain: Domain::Test, relay: b"relay 8", nonce: NONCE },
        Announcement { domain: Domain::Test, relay: NAME, nonce: [8; 16] },
    ] {
        let seen = through(&other, &generous);
        assert_eq!(seen.ended, Some(Err(Refused::Edhoc(1).into())), "the operator has refused message_1");
        assert!(!seen.installed);
    }
    // And one whose quota does not reach is stopped on its way.
    let announced = Announcement { domain: Domain::Test, relay: NAME, nonce: NONCE };
    let seen = through(&announced, &token(|permit| permit.bytes = 1_000));
    assert_eq!((seen.refused, seen.ended, seen.installed), (Some(Relay::Quota.into()), None, false));
    let seen = through(&announced, &token(|permit| permit.expires = NOW));
    assert_eq!((seen.refused, seen.usage), (Some(Relay::Expired.into()), Usage::default()));
    assert_eq!(Error::from(Relay::Quota).told(), Told::Nothing);
}
