//! Relays: who may forward what. Whole provisionings through one are in `through`.

use remote_provisioning::{
    crypto::{Crypto, Secret, rustcrypto::RustCrypto},
    error::{Error, Malformed, Misuse, Relay, Told},
    framing::relay::{
        Admitted, Announcement, Gate, MAX_NAME, MAX_RELAYED, MAX_RETURNED, Name, Permit, Relayed, Returned, Usage,
    },
    identity::Domain,
    wire::{MAX_MESSAGE, decode, encode},
};

const NAME: &[u8] = b"relay 7";
const NOW: u64 = 1_800_000_000;
const NONCE: [u8; 16] = [9; 16];

fn key(byte: u8) -> Secret<32> {
    Secret::from_slice(&[byte; 32]).unwrap()
}

fn named(name: &[u8]) -> Name<'_> {
    Name::new(name).unwrap()
}

fn permit() -> Permit<'static> {
    Permit {
        domain: Domain::Test,
        relay: named(NAME),
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
    Gate::new(&key, Domain::Test).issue(&permit)
}

#[test]
fn envelopes_byte_for_byte() {
    let nonce = [0xaa; 16];
    let announcement = Announcement { domain: Domain::Test, relay: named(b"r"), nonce };
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
    let long = Gate::new(&key, Domain::Test).issue(&Permit {
        relay: named(&name),
        sessions: u32::MAX,
        operations: u32::MAX,
        bytes: u64::MAX,
        expires: u64::MAX,
        ..permit()
    });
    assert_eq!(long.len(), longest.len() + 1 + MAX_NAME - NAME.len());
    let message = [0; MAX_MESSAGE];
    let relayed = |len| Relayed { session: u32::MAX, nonce, token: &long, message: &message[..len] }.packet();
    let whole = relayed(MAX_RELAYED).unwrap();
    assert_eq!(whole.len(), MAX_MESSAGE);
    println!("a token has up to {} bytes, the envelope {} more", long.len(), whole.len() - long.len() - MAX_RELAYED);
    let returned = |len| Returned { session: u32::MAX, message: &message[..len] }.packet();
    let whole = returned(MAX_RETURNED).unwrap();
    assert_eq!(whole.len(), MAX_MESSAGE);
    assert!(decode::<Returned<'_>>(&whole).is_ok());
    // A byte more, and nobody reads it: so it is not written either.
    let too_long = Misuse::Parameter("the message is too long for a relay");
    assert_eq!((relayed(MAX_RELAYED + 1), returned(MAX_RETURNED + 1)), (Err(too_long), Err(too_long)));
}

/// A device hashes what it hears around it: an announcement is what the grammar says, or none.
#[test]
fn a_name_has_1_to_32_bytes() {
    for name in [&[][..], &[7; MAX_NAME + 1]] {
        assert_eq!(Name::new(name), Err(Misuse::Parameter("the name of a relay has 1 to 32 bytes")));
        let announced = remote_provisioning::wire::encode_with(|w| {
            w.array(4);
            w.unsigned(1);
            w.unsigned(1);
            w.bytes(name);
            w.bytes(&NONCE);
        });
        assert_eq!(decode::<Announcement<'_>>(&announced), Err(Malformed::WrongLength));
    }
    assert_eq!(named(NAME).bytes(), NAME);
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
    let others = Gate::new(&other, Domain::Test).issue(&permit());
    assert_eq!(admitted(&others, NAME, NOW), Err(Relay::Token.into()));
    assert_eq!(admitted(b"", NAME, NOW), Err(Malformed::Truncated.into()));
    // Nobody tells the device: it is not the one that is refused.
    assert_eq!(Error::from(Relay::Quota).told(), Told::Nothing);
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
    let announcement = Announcement { domain: Domain::Test, relay: named(NAME), nonce: NONCE };
    assert_eq!(admitted.relay, announcement.hash(&RustCrypto));
    // Another relay, or another announcement of this one, has another hash.
    for other in
        [Announcement { relay: named(b"relay 8"), ..announcement }, Announcement { nonce: [8; 16], ..announcement }]
    {
        assert_ne!(other.hash(&RustCrypto), admitted.relay);
    }
}
