//! An operator under load, through the machines: a cookie first, and nothing kept; at most three times what was heard.

use remote_provisioning::{
    crypto::{Secret, rustcrypto::RustCrypto},
    edhoc::{Suite, error_message, read_error, responder},
    error::{Backend, Error, Misbehaved, Misuse, Refused},
    framing::cookie::{Baker, Budget, COOKIE_LEN},
    identity::Domain,
    provisioning::{
        message::{COOKIE_DEMANDED, EAD_LABEL, Hello, demand, demanded},
        operator::turn_away,
    },
    time::Millis,
    wire,
};

use crate::lab::{
    Lab,
    double::{Double, Op, Watch},
    from_device,
};

const ADDRESS: &[u8] = b"\xc0\x00\x02\x01\x16\x33";
const LIFETIME: u64 = 60_000;

fn key(byte: u8) -> Secret<32> {
    Secret::from_slice(&[byte; 32]).unwrap()
}

/// No Diffie-Hellman, no signature, nothing but hashes: what a stranger may cost.
struct HashesOnly;

impl Watch for HashesOnly {
    fn before(&self, op: Op) -> Result<(), Backend> {
        assert_eq!(op, Op::Sha256);
        Ok(())
    }
}

/// What the operator says to a message_1 from `address`, if not to come in.
fn door(lab: &Lab, message_1: &[u8], address: &[u8]) -> Result<Option<Vec<u8>>, Error> {
    let key = key(7);
    let baker = Baker::new(&key, LIFETIME).unwrap();
    turn_away(message_1, &lab.operator_config, &baker, address, lab.now, &Double::new(HashesOnly))
}

/// The cookie in the hello of a message_1, its G_X and its concealed name.
fn parts(message_1: &[u8]) -> (Option<Vec<u8>>, Vec<u8>, Vec<u8>) {
    let mut reader = wire::Reader::new(message_1).unwrap();
    let method = reader.integer().unwrap();
    assert_eq!(method, 0);
    reader.raw().unwrap();
    let g_x = reader.bytes().unwrap().to_vec();
    reader.raw().unwrap();
    assert_eq!(reader.integer().unwrap(), -i64::from(EAD_LABEL));
    let hello: Hello<'_> = wire::decode(reader.bytes().unwrap()).unwrap();
    (hello.cookie.map(<[u8]>::to_vec), g_x, hello.concealed_id.map(|id| id.0.to_vec()).unwrap_or_default())
}

#[test]
fn a_first_provisioning_under_load() {
    let mut lab = Lab::attested(1);
    let mut device = lab.start().unwrap();
    let first = from_device(&mut device).sent.remove(0);
    // The caller's side: what came from there, and what went there.
    let mut budget = Budget::new();
    budget.heard(first.len());
    let demanded = door(&lab, &first, ADDRESS).unwrap().expect("no cookie yet");
    assert_eq!(demanded.len(), 3 + 1 + COOKIE_LEN);
    budget.say(demanded.len()).unwrap();
    assert_eq!(lab.home.entries().count(), 0);
    // The device says message_1 once more: with the cookie, and nothing in it as it was.
    lab.tell_device(&mut device, &demanded).unwrap();
    let second = from_device(&mut device).sent.remove(0);
    assert_eq!(second.len(), first.len() + 1 + COOKIE_LEN);
    let ((none, g_x, name), (cookie, other_g_x, other_name)) = (parts(&first), parts(&second));
    assert_eq!((none, cookie.as_deref()), (None, Some(&demanded[4..])));
    assert!(g_x != other_g_x && name != other_name, "RFC 9528 §6.3.2: a new key for each message_1");
    // Nobody may be sent a message_2 with a chain and a voucher who has not shown to be there.
    budget.heard(second.len());
    assert_eq!(budget.say(1_123), Err(Misuse::NotNow("more than three times what was heard")));
    assert_eq!(door(&lab, &second, ADDRESS), Ok(None));
    budget.routable();

    let mut session = crate::lab::Session { device, operator: lab.operator(), messages: vec![second] };
    while session.messages.len() < 6 {
        lab.step(&mut session).unwrap();
        if session.messages.len() == 2 {
            assert_eq!(session.message(2).len(), 1_123);
        }
        budget.say(session.messages.last().unwrap().len()).unwrap();
    }
    lab.step(&mut session).unwrap();
    assert_eq!(from_device(&mut session.device).finished, []);
    lab.assert_complete();
}

/// Another address, another time, another key, altered, none: each asks for a new one.
#[test]
fn only_a_good_cookie_opens() {
    let mut lab = Lab::new(2);
    let mut device = lab.start().unwrap();
    let first = from_device(&mut device).sent.remove(0);
    let demanded = door(&lab, &first, ADDRESS).unwrap().unwrap();
    lab.tell_device(&mut device, &demanded).unwrap();
    let second = from_device(&mut device).sent.remove(0);
    let is_demand = |said: Result<Option<Vec<u8>>, Error>| matches!(said, Ok(Some(said)) if read_error(&said).unwrap().refused == Refused::Edhoc(COOKIE_DEMANDED));
    assert_eq!(door(&lab, &second, ADDRESS), Ok(None));
    assert!(is_demand(door(&lab, &second, b"\xc0\x00\x02\x02\x16\x33")));
    assert!(is_demand(door(&lab, &second, b"")));
    for bit in 0..8 * COOKIE_LEN {
        let mut altered = second.clone();
        let at = altered.len() - COOKIE_LEN + bit / 8;
        altered[at] ^= 1 << (bit % 8);
        assert!(is_demand(door(&lab, &altered, ADDRESS)), "bit {bit}");
    }
    let other = key(8);
    let baker = Baker::new(&other, LIFETIME).unwrap();
    assert!(is_demand(turn_away(&second, &lab.operator_config, &baker, ADDRESS, lab.now, &RustCrypto)));
    lab.now = lab.now.after(2 * LIFETIME);
    assert!(is_demand(door(&lab, &second, ADDRESS)));
    // An operator that is not under load takes it as well, and looks at no cookie.
    let mut operator = lab.operator();
    assert_eq!(lab.tell_operator(&mut operator, &second), Ok(()));
}

/// Garbage is not answered, and neither is what another operator may read.
#[test]
fn what_is_no_message_1_is_dropped() {
    let mut lab = Lab::new(3);
    let mut device = lab.start().unwrap();
    let first = from_device(&mut device).sent.remove(0);
    for len in 0..first.len() {
        assert!(door(&lab, &first[..len], ADDRESS).is_err(), "{len}");
    }
    assert!(door(&lab, &[0; 5_000], ADDRESS).is_err());
    lab.operator_config.domain = Domain::Production;
    assert_eq!(door(&lab, &first, ADDRESS), Err(Misbehaved::WrongDomain.into()));
    lab.operator_config.domain = Domain::Test;
    lab.operator_config.methods = vec![];
    assert_eq!(door(&lab, &first, ADDRESS), Err(Misbehaved::UnsupportedMethod.into()));
    lab.device_config.relay = Some([1; 32]);
    let mut device = lab.start().unwrap();
    lab.operator_config.methods = vec![remote_provisioning::edhoc::Method::SignSign];
    let through = from_device(&mut device).sent.remove(0);
    assert_eq!(door(&lab, &through, ADDRESS), Err(Misbehaved::WrongRelay.into()));
}

/// Whatever parses, the demand is at most three times as long.
#[test]
fn a_demand_never_amplifies() {
    let lab = Lab::new(4);
    // The shortest: no G_X to speak of, no name, no relay. Such a thing does not get further than a machine.
    let hello = Hello { domain: Domain::Test, concealed_id: None, relay: None, cookie: None };
    let shortest = wire::encode_with(|w| {
        w.integer(0);
        w.integer(2);
        w.bytes(b"");
        w.integer(0);
        w.integer(-i64::from(EAD_LABEL));
        w.bytes(&wire::encode(&hello));
    });
    // Suite 2 is not the one that this operator prefers; but the only one that the device names.
    let said = door(&lab, &shortest, ADDRESS).unwrap().unwrap();
    assert!(said.len() <= 3 * shortest.len(), "{} to {}", said.len(), shortest.len());
    assert!(demanded(&read_error(&said).unwrap()).is_some());
    // Error 2 is short as well.
    let other = [&shortest[..1], b"\x07", &shortest[2..]].concat();
    let said = door(&lab, &other, ADDRESS).unwrap().unwrap();
    assert_eq!(read_error(&said).unwrap().refused, Refused::WrongSuite);
    assert!(said.len() <= 3 * other.len());
}

/// Anybody can have written the demand: he gets one more message_1 for it, whatever he writes and however often.
#[test]
fn a_demand_costs_the_device_one_message() {
    let mut lab = Lab::new(5);
    let mut device = lab.start().unwrap();
    let before = from_device(&mut device).sent.len();
    assert_eq!(before, 1);
    lab.tell_device(&mut device, &demand(b"forged")).unwrap();
    let second = from_device(&mut device).sent;
    assert_eq!(second.len(), 1);
    assert_eq!(parts(&second[0]).0.as_deref(), Some(&b"forged"[..]));
    // The same once more is a repetition: the device may have repeated itself before it was answered.
    for _ in 0..10 {
        lab.tell_device(&mut device, &demand(b"forged")).unwrap();
        assert_eq!(from_device(&mut device).sent.len(), 0);
    }
    // Another one ends the attempt, as any error message does; the next one begins in a while.
    let refused = Err(Refused::Edhoc(COOKIE_DEMANDED).into());
    assert_eq!(lab.tell_device(&mut device, &demand(b"again")), refused);
    let out = from_device(&mut device);
    assert_eq!((out.sent.len(), out.finished), (0, vec![refused]));
    assert!(out.again.is_some());
    assert!(lab.tell_device(&mut device, &demand(b"and again")).is_err());
    assert_eq!(from_device(&mut device).sent.len(), 0);
}

/// A demand with no cookie in it, or one that no hello can hold, is an error message like others. Later it has no place.
#[test]
fn demands_that_are_none() {
    for bad in [&b""[..], &[1; 65]] {
        let mut lab = Lab::new(6);
        let mut device = lab.start().unwrap();
        from_device(&mut device);
        let refused = Err(Refused::Edhoc(COOKIE_DEMANDED).into());
        assert_eq!(lab.tell_device(&mut device, &demand(bad)), refused);
        assert_eq!(from_device(&mut device).sent.len(), 0);
    }
    // 64 bytes fit.
    let mut lab = Lab::new(6);
    let mut device = lab.start().unwrap();
    lab.tell_device(&mut device, &demand(&[1; 64])).unwrap();
    assert_eq!(parts(from_device(&mut device).sent.last().unwrap()).0, Some(vec![1; 64]));
    // After message_2 it is too late to ask.
    let mut session = Lab::new(6).session(3);
    let mut lab = Lab::new(6);
    let refused = Err(Refused::Edhoc(COOKIE_DEMANDED).into());
    assert_eq!(lab.tell_device(&mut session.device, &demand(b"cookie")), refused);
}

/// Suites and cookies in one attempt, in either order: the device gets there, and counts what it has said.
#[test]
fn suites_are_agreed_on_behind_the_door() {
    for suite_first in [true, false] {
        let mut lab = Lab::new(7);
        lab.operator_config.suites = vec![Suite::CCM_16];
        let mut device = lab.start().unwrap();
        let mut said = from_device(&mut device).sent.remove(0);
        let wrong = error_message(&Misbehaved::WrongSuite.into(), &lab.operator_config.suites).unwrap();
        if suite_first {
            assert_eq!(door(&lab, &said, ADDRESS), Ok(Some(wrong.clone())));
            lab.tell_device(&mut device, &wrong).unwrap();
            said = from_device(&mut device).sent.remove(0);
            let demanded = door(&lab, &said, ADDRESS).unwrap().unwrap();
            lab.tell_device(&mut device, &demanded).unwrap();
        } else {
            let key = key(7);
            let cookie = Baker::new(&key, LIFETIME).unwrap().bake(ADDRESS, b"", lab.now);
            lab.tell_device(&mut device, &demand(&cookie)).unwrap();
            from_device(&mut device);
            lab.tell_device(&mut device, &wrong).unwrap();
        }
        let said = from_device(&mut device).sent.remove(0);
        assert_eq!(door(&lab, &said, ADDRESS), Ok(None), "the cookie is still in there");
        let read = responder::read(&said, &lab.operator_config.methods, &lab.operator_config.suites, &RustCrypto);
        assert!(read.is_ok());
        let mut session = crate::lab::Session { device, operator: lab.operator(), messages: vec![said] };
        while session.messages.len() < 6 {
            lab.step(&mut session).unwrap();
        }
        lab.step(&mut session).unwrap();
        lab.assert_complete();
        let offered = lab.home.entries().find_map(|entry| match entry.what {
            remote_provisioning::provisioning::log::What::Offered(offered) => Some(offered.request.counter),
            _ => None,
        });
        assert_eq!(offered, Some((1, 2)));
    }
}

/// The clock of the operator is in the cookie, and nothing of the message: one for any message_1 from there, while it is
/// fresh.
#[test]
fn a_cookie_is_of_its_address_and_time() {
    let mut lab = Lab::new(8);
    let key = key(7);
    let baker = Baker::new(&key, LIFETIME).unwrap();
    let cookie = baker.bake(ADDRESS, b"", Millis(0));
    for _ in 0..3 {
        let mut device = lab.start().unwrap();
        lab.tell_device(&mut device, &demand(&cookie)).unwrap();
        let said = from_device(&mut device).sent.pop().unwrap();
        assert_eq!(door(&lab, &said, ADDRESS), Ok(None));
    }
}
