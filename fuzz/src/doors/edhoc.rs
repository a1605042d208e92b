//! The messages of EDHOC, one by one, from whoever is on the link.
//!
//! Input: the cast, and the message. Of message_2 to message_4 it is the plaintext: whoever runs the ephemeral exchange can
//! encrypt what it likes, so that is no protection. With [`MARKED`] in the cast, one signature fits all keys, so that what
//! comes after a proof is reached; without it, a proof is a proof:
//!
//! - no panic;
//! - who is accepted has said exactly what the honest peer says;
//! - a session goes on only if no critical item was left, and what it says then can be read by the other side's reader.

use remote_provisioning::{
    edhoc::{self, ConnectionId, EadItem, Seal, Suite, initiator, is_error_message, read_error, responder},
    error::{Error, Malformed, Misbehaved, Refused},
    identity::{Domain, Role},
    provisioning::message::{EAD_LABEL, demand, demanded},
    sim::{IDENTITY, SeededRng, TODAY},
    store::{KeyStore, memory::MemoryStore},
    trust,
    wire::{self, MAX_MESSAGE},
};

use super::{
    Choices, Input,
    glass::{Glass, TAG},
    stage::{Cast, DEVICE_SEED, METHODS, OPERATOR_SEED, Phone},
};

/// In the cast: whose signature is [`glass::FITS`](super::glass::FITS) is believed.
pub(super) const MARKED: u8 = 0x80;

/// In the cast: the whole message follows, not its plaintext.
pub(super) const WHOLE: u8 = 0x10;

/// The honest item of message_2 and message_3.
const ITEM: EadItem<'_> = EadItem { label: EAD_LABEL, critical: true, value: Some(b"what there is to say") };

/// Both ends before a message.
struct Scene {
    cast: Cast,
    crypto: Glass,
    whole: bool,
    rng: SeededRng,
}

impl Scene {
    fn new(input: &mut Input<'_>) -> Self {
        let byte = input.byte();
        let crypto = if byte & MARKED == 0 { Glass::True } else { Glass::Marked };
        // The suite says nothing about how a plaintext is read; two bits less for the naming, too.
        let cast = Cast::new(byte & 0x0f | (byte & 0x60)).in_glass();
        Self { cast, crypto, whole: byte & WHOLE != 0, rng: SeededRng::new(OPERATOR_SEED) }
    }

    fn start(&self) -> (initiator::AwaitMessage2, Vec<u8>) {
        let mut rng = SeededRng::new(DEVICE_SEED);
        let c_i = ConnectionId::random(&mut rng, None).unwrap();
        let proposal =
            initiator::Proposal { method: self.cast.method(), suites: &[self.cast.suite()], c_i: &c_i, ead_1: &[] };
        initiator::start(&proposal, &self.crypto, &mut rng).unwrap()
    }

    fn greet(&mut self, message_1: &[u8]) -> (responder::AwaitMessage3, Vec<u8>) {
        let message = responder::read(message_1, &METHODS, &Suite::ALL, &self.crypto).unwrap();
        let c_r = ConnectionId::random(&mut self.rng, Some(message.c_i())).unwrap();
        let operator = self.cast.operator();
        message.write(&c_r, &operator.own, &[ITEM], &operator.keys, &self.crypto, &mut self.rng).unwrap()
    }

    /// What there is of `role` under this name.
    fn verify(&self, claimed: &trust::CredentialId<'_>, role: Role) -> Result<trust::Candidates, Error> {
        let verifier = if role == Role::Device { Role::Operator } else { Role::Device };
        trust::verify(claimed, role, Domain::Test, self.cast.anchors(verifier), &self.crypto, Some(TODAY))
    }

    fn answer(
        &self,
        message: initiator::Message2,
        ead_3: &[EadItem<'_>],
    ) -> Result<(initiator::AwaitMessage4, Vec<u8>), Error> {
        let peer = self.verify(&message.claimed().unwrap(), Role::Operator)?;
        let device = self.cast.device();
        let mut message = message.accept(peer, &device.own, &self.crypto).map_err(|stopped| stopped.error())?;
        let _ = message.ead().take(EAD_LABEL);
        message.write(&device.own, ead_3, &device.keys, &self.crypto).map_err(|stopped| stopped.error())
    }

    fn admit(&self, message: responder::Message3) -> Result<responder::Message3Accepted, Error> {
        let peer = self.verify(&message.claimed().unwrap(), Role::Device)?;
        let own = &self.cast.operator().own;
        let mut message = message.accept(peer, own, &self.crypto).map_err(|stopped| stopped.error())?;
        let _ = message.ead().take(EAD_LABEL);
        Ok(message)
    }

    /// The plaintext, or the whole message, as it goes over the link; `before` is what stands before the plaintext.
    fn message(&self, before: &[u8], text: &[u8], tag_len: usize) -> Vec<u8> {
        if self.whole {
            return text.to_vec();
        }
        wire::encode_with(|w| w.bytes(&[before, text, &vec![TAG; tag_len]].concat()))
    }
}

/// What is in an honest message, from behind its first bytes to before its tag.
fn plaintext(message: &[u8], before: usize, tag_len: usize) -> Vec<u8> {
    let inside = wire::decode::<&[u8]>(message).unwrap();
    inside[before..inside.len() - tag_len].to_vec()
}

pub(super) fn message_1(data: &[u8]) {
    let mut input = Input::new(data);
    let mut scene = Scene::new(&mut input);
    let bytes = input.rest();
    let Ok(mut message) = responder::read(bytes, &METHODS, &Suite::ALL, &scene.crypto) else { return };
    assert!(bytes.len() <= MAX_MESSAGE && read_error(bytes).is_err(), "a message, and an error message");
    let critical = message.unverified_ead().take(EAD_LABEL).is_none() && message.unverified_ead().end().is_err();
    let c_i = message.c_i().clone();
    let operator = scene.cast.operator();
    let written = match ConnectionId::random(&mut scene.rng, Some(&c_i)) {
        Ok(c_r) => message.write(&c_r, &operator.own, &[], &operator.keys, &scene.crypto, &mut scene.rng),
        Err(error) => panic!("{error}"),
    };
    match written {
        Ok((_, message_2)) => {
            assert!(!critical, "nobody has understood that");
            assert!(message_2.len() <= MAX_MESSAGE && !is_error_message(&message_2));
        }
        Err(stopped) => {
            use Misbehaved::{CriticalEad, InvalidPoint};
            assert!(matches!(stopped.error(), Error::Misbehaved(CriticalEad | InvalidPoint)), "{}", stopped.error());
        }
    }
}

pub(super) fn message_2(data: &[u8]) {
    let mut input = Input::new(data);
    let mut scene = Scene::new(&mut input);
    let (initiator, message_1) = scene.start();
    let (responder, honest) = scene.greet(&message_1);
    let g_y = wire::decode::<&[u8]>(&honest).unwrap()[..32].to_vec();
    let bytes = scene.message(&g_y, input.rest(), 0);
    let Ok(mut message) = initiator.read(&bytes, &scene.crypto) else { return };
    assert!(wire::encode(&message.claimed().unwrap()).len() <= MAX_MESSAGE);
    let _ = message.unverified_ead().end();
    let Ok((_, message_3)) = scene.answer(message, &[ITEM]) else { return };
    if scene.crypto == Glass::True {
        assert_eq!(bytes, honest, "an operator that nobody knows");
        scene.admit(responder.read(&message_3, &scene.crypto).unwrap()).unwrap();
    }
}

pub(super) fn message_3(data: &[u8]) {
    let mut input = Input::new(data);
    let mut scene = Scene::new(&mut input);
    let (initiator, message_1) = scene.start();
    let (responder, message_2) = scene.greet(&message_1);
    let tag_len = scene.cast.suite().aead.tag_len();
    let bytes = scene.message(&[], input.rest(), tag_len);
    let Ok(message) = responder.read(&bytes, &scene.crypto) else { return };
    let Ok(accepted) = scene.admit(message) else { return };
    if scene.crypto == Glass::True {
        let (initiator, honest) = scene.answer(initiator.read(&message_2, &scene.crypto).unwrap(), &[ITEM]).unwrap();
        assert_eq!(bytes, honest, "a device that nobody knows");
        let (_, message_4) = accepted.write(&[], &scene.crypto).unwrap();
        initiator.read(&message_4, &scene.crypto).unwrap().complete().unwrap();
    } else if let Err(stopped) = accepted.write(&[], &scene.crypto) {
        assert_eq!(stopped.error(), Misbehaved::CriticalEad.into());
    }
}

pub(super) fn message_4(data: &[u8]) {
    let mut input = Input::new(data);
    let mut scene = Scene::new(&mut input);
    let (initiator, message_1) = scene.start();
    let (_, message_2) = scene.greet(&message_1);
    let (initiator, _) = scene.answer(initiator.read(&message_2, &scene.crypto).unwrap(), &[]).unwrap();
    let text = input.rest();
    let bytes = scene.message(&[], text, scene.cast.suite().aead.tag_len());
    let Ok(mut message) = initiator.read(&bytes, &scene.crypto) else { return };
    let mut taken = 0;
    while let Some(item) = message.ead().take(EAD_LABEL) {
        assert!(scene.whole || item.value.is_none_or(|value| value.len() < text.len()));
        taken += 1;
    }
    assert!(taken <= edhoc::MAX_EAD);
    let left = message.ead().end();
    assert_eq!(message.complete().err(), left.err().map(Error::from));
}

/// Whoever is on the link can say that something is wrong.
pub(super) fn error_message(data: &[u8]) {
    let read = read_error(data);
    assert!(read.is_err() || is_error_message(data));
    if let Ok(error) = &read {
        if let Some(cookie) = demanded(error) {
            assert_eq!(demand(cookie), data);
        }
        let next = initiator::propose_again(&Suite::ALL, &Suite::ALL[..1], &error.suites_r);
        if let Some(next) = next {
            assert!(error.suites_r.contains(next.last().unwrap()) && next.len() > 1);
        }
        assert!(error.suites_r.is_empty() || error.refused == Refused::WrongSuite);
    }
    // A device that waits for message_2 ends with it, asks again, or has heard nothing.
    let mut phone = Phone::start(Cast::new(0), MemoryStore::new(), DEVICE_SEED).unwrap();
    let before = phone.sent();
    let result = phone.take(data);
    let sent = phone.sent();
    assert!(sent.len() <= 1 && sent.iter().all(|message| !before.contains(message)));
    match result {
        Ok(()) => assert!(read.is_ok() && sent.len() == 1, "it asks again"),
        Err(Error::Refused(_)) => assert!(read.is_ok() && sent.is_empty()),
        Err(Error::Malformed(error)) => assert!(read.is_err() || error == Malformed::TooLong || !sent.is_empty()),
        Err(error) => assert!(!is_error_message(data), "{error}"),
    }
}

/// Tokens of a responder, by kind less one: while it waits for message_3, when it has accepted it, and of the session.
pub(super) fn tokens(cast: Cast, seal: &Seal<'_>, rng: &mut SeededRng) -> [(u8, Vec<u8>); 3] {
    let mut scene = Scene { cast, crypto: Glass::True, whole: false, rng: SeededRng::new(OPERATOR_SEED) };
    let (initiator, message_1) = scene.start();
    let (responder, message_2) = scene.greet(&message_1);
    let waiting = responder.seal(seal, &scene.crypto, rng).unwrap();
    let (_, message_3) = scene.answer(initiator.read(&message_2, &scene.crypto).unwrap(), &[ITEM]).unwrap();
    let accepted = scene.admit(responder.read(&message_3, &scene.crypto).unwrap()).unwrap();
    let answering = accepted.seal(seal, &scene.crypto, rng).unwrap();
    let (session, _) = accepted.write(&[], &scene.crypto).unwrap();
    [(0, waiting), (1, answering), (2, session.seal(seal, &scene.crypto, rng).unwrap())]
}

/// What there is to start from: door, name, bytes.
pub(super) fn seeds() -> Vec<super::seeds::Seed> {
    let mut seeds: Vec<super::seeds::Seed> = Vec::new();
    let mut errors: Vec<super::seeds::Seed> = Vec::new();
    let mut add = |door, name: String, cast: u8, text: &[u8]| seeds.push((door, name, [&[cast], text].concat()));
    // Methods 0 and 3, by chain, by hash and by `kid`, suites -24 and 2.
    for (name, cast) in [("chain", 0), ("hash", 1 << 2), ("kid", 2 << 2 | 2 << 5 | 3), ("static-chain", 3)] {
        let cast = cast & !(MARKED | WHOLE);
        let mut scene = Scene::new(&mut Input::new(&[cast]));
        let tag_len = scene.cast.suite().aead.tag_len();
        let (initiator, message_1) = scene.start();
        let (responder, message_2) = scene.greet(&message_1);
        let (initiator, message_3) = scene.answer(initiator.read(&message_2, &scene.crypto).unwrap(), &[ITEM]).unwrap();
        let accepted = scene.admit(responder.read(&message_3, &scene.crypto).unwrap()).unwrap();
        let (_, message_4) = accepted.write(&[ITEM], &scene.crypto).unwrap();
        drop(initiator);
        add("message_1", format!("run-{name}"), cast, &message_1);
        add("message_2", format!("run-{name}"), cast, &plaintext(&message_2, 32, 0));
        add("message_3", format!("run-{name}"), cast, &plaintext(&message_3, 0, tag_len));
        add("message_4", format!("run-{name}"), cast, &plaintext(&message_4, 0, tag_len));
        if name == "chain" {
            for (door, message) in [("message_2", &message_2), ("message_3", &message_3), ("message_4", &message_4)] {
                add(door, format!("run-{name}-whole"), cast | WHOLE, message);
            }
        }
    }
    let vectors = super::seeds::vectors;
    for (name, text) in [
        ("section-2", include_str!("../../../tests/vectors/edhoc_rfc9529_section_2.json")),
        ("section-3", include_str!("../../../tests/vectors/edhoc_rfc9529_section_3.json")),
    ] {
        for case in vectors(text) {
            for (door, field) in [
                ("message_1", "message_1"),
                ("message_1", "refused_message_1"),
                ("message_2", "plaintext_2"),
                ("message_3", "plaintext_3"),
            ] {
                if let Some(bytes) = case.get(field) {
                    add(door, format!("rfc9529-{name}-{}", field.replace('_', "-")), MARKED, bytes);
                }
            }
            if let Some(error) = case.get("error") {
                errors.push(("error_message", format!("rfc9529-{name}"), error.clone()));
            }
        }
    }
    for (number, case) in
        vectors(include_str!("../../../tests/vectors/edhoc_rfc9529_section_4.json")).into_iter().enumerate()
    {
        // What is wrong in there is wrong in message_1, or in the plaintext of message_2 or message_3.
        for door in ["message_1", "message_2", "message_3"] {
            add(door, format!("rfc9529-section-4-{number}"), MARKED | WHOLE, &case["hex"]);
        }
    }
    for (number, case) in
        vectors(include_str!("../../../tests/vectors/edhoc_known_answers.json")).into_iter().enumerate()
    {
        for (door, field) in [("message_1", "message_1"), ("message_2", "plaintext_2"), ("message_3", "plaintext_3")] {
            if let Some(bytes) = case.get(field) {
                add(door, format!("known-answer-{number}"), MARKED, bytes);
            }
        }
    }
    // Items: none, padding, several, one too many, a critical one that nobody knows.
    let long = [0x21, 0x41, 7].repeat(9);
    for (name, items) in [
        ("none", &[][..]),
        ("padding", &[0, 0x43, 1, 2, 3]),
        ("several", &[0x19, 0xce, 0x11, 0x41, 1, 0x39, 0xce, 0x10, 5, 0x40]),
        ("critical", &[0x24, 0x41, 1]),
        ("too-many", &long),
    ] {
        add("message_4", format!("items-{name}"), 0, items);
    }
    let error = edhoc::error_message(&Misbehaved::WrongSuite.into(), &Suite::ALL).unwrap();
    let unspecified = edhoc::error_message(&Misbehaved::CriticalEad.into(), &Suite::ALL).unwrap();
    for (name, bytes) in [
        ("wrong-suite", error),
        ("unspecified", unspecified),
        ("unknown-credential", vec![3, 0xf5]),
        ("demand", demand(&[7; 24])),
        ("private-use", vec![0x39, 0x7f, 0xff, 0x82, 1, 0xa1, 2, 3]),
    ] {
        errors.push(("error_message", name.into(), bytes));
    }
    let key = Cast::new(0).operator().keys.public_key(IDENTITY).unwrap();
    errors.push(("error_message", "message-2".into(), wire::encode_with(|w| w.bytes(key.x()))));
    seeds.extend(errors);
    seeds
}
