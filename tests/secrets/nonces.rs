//! No key and nonce meet two plaintexts.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::Mutex,
};

use remote_provisioning::{
    credential::{Activation, Previous},
    crypto::{
        Aead, Crypto, EphemeralKey, Group, HASH_LEN, Hash, KeyKind, PublicKey, Rng, Secret, SecretBytes, Signature,
        rustcrypto::RustCrypto,
    },
    error::{Backend, Code, Misbehaved, Result, Untrusted},
    provisioning::device::Goal,
};

use crate::{
    lab::{
        Lab, Session,
        double::{Double, Notes, Recording, Sealed, Watch},
    },
    often,
};

/// Pairs that met more than one plaintext.
fn repeated(notes: &Notes) -> usize {
    let mut texts = BTreeMap::<_, Vec<_>>::new();
    for sealed in &notes.sealed {
        texts.entry((&sealed.key, &sealed.nonce)).or_default().push(&sealed.text);
    }
    texts.values().filter(|texts| texts.iter().any(|text| *text != texts[0])).count()
}

/// What a machine hears next.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Next {
    Right,
    Altered,
    /// The right message, and then a no from the operator's systems.
    Refused,
    /// The right message, and then another SUPI, or another activation.
    Otherwise,
}

const NEXT: [Next; 4] = [Next::Right, Next::Altered, Next::Refused, Next::Otherwise];

fn hears(lab: &mut Lab, session: &mut Session, next: Next, number: usize) {
    let mut message = session.message(number);
    if next == Next::Altered {
        *message.last_mut().unwrap() ^= 1;
    }
    lab.refusing = (next == Next::Refused).then_some(("reserve", Code::TryLater));
    if next == Next::Otherwise {
        lab.home.activation = Activation::OneShot;
    }
    let _ = lab.tell_operator(&mut session.operator, &message);
    lab.serve(&mut session.operator);
    (lab.refusing, lab.home.activation) = (None, Activation::TwoPhase);
}

/// Seals the operator before a message, opens it twice, and lets both hear something; whether the second one is let in.
fn schedule(number: usize, [first, second]: [Next; 2], honest: bool) -> usize {
    let recording = Recording::new();
    let mut lab = Lab::voucher_last(1);
    lab.home.activation = Activation::TwoPhase;
    let mut session = lab.session(number);
    lab.crypto = recording;
    let token = lab.token(&session.operator).unwrap();
    session.operator = lab.reopened(&token).unwrap().first_use(true).unwrap();
    hears(&mut lab, &mut session, first, number);
    // What it goes on as is sealed as well.
    let _ = lab.token(&session.operator);
    let again = lab.reopened(&token).unwrap().first_use(!honest);
    assert_eq!(again.is_err(), honest);
    if let Ok(again) = again {
        session.operator = again;
        hears(&mut lab, &mut session, second, number);
    }
    repeated(&recording.watch.take())
}

/// {seal, open twice, different next input}, in every state that can be sealed.
#[test]
fn all_schedules() {
    let mut caught = 0;
    for number in [3, 5, 7] {
        for first in NEXT {
            for second in NEXT {
                assert_eq!(schedule(number, [first, second], true), 0, "{number}: {first:?}, {second:?}");
                caught += schedule(number, [first, second], false);
            }
        }
    }
    assert!(caught > 0, "the test can fail: where the second use is let in, two answers have one nonce");
}

/// Keeps nothing but a hash of each pair, and of the text that it met.
#[derive(Default)]
struct Pairs(Mutex<HashMap<u128, u64>>);

impl Watch for Pairs {
    fn records(&self) -> bool {
        true
    }

    fn sealed(&self, sealed: Sealed) {
        let pair = RustCrypto.sha256(&[&sealed.key.len().to_be_bytes(), &sealed.key, &sealed.nonce]);
        let text = u64::from_ne_bytes(*RustCrypto.sha256(&[&sealed.text]).first_chunk().unwrap());
        match self.0.lock().unwrap().entry(u128::from_ne_bytes(*pair.first_chunk().unwrap())) {
            Entry::Occupied(met) => assert_eq!(*met.get(), text, "a nonce for two texts"),
            Entry::Vacant(new) => _ = new.insert(text),
        }
    }
}

/// The real schedule of keys over a toy of a group: 61 bits, and every signature is good. A handshake takes a hundredth of the
/// time; which keys and nonces come of it does not hang on how hard the group is.
struct Toy(Mutex<HashMap<Vec<u8>, PublicKey>>);

const PRIME: u128 = (1 << 61) - 1;

fn power(base: u128, exponent: u128) -> u128 {
    (0..61).rev().fold(1, |product, bit| {
        let square = product * product % PRIME;
        if exponent >> bit & 1 == 1 { square * base % PRIME } else { square }
    })
}

fn number(bytes: &[u8]) -> u128 {
    u128::from_be_bytes(*bytes.last_chunk().unwrap()) % PRIME
}

impl Toy {
    fn shared(key: &EphemeralKey, peer: &[u8], shared: &mut Secret<HASH_LEN>) {
        let product = power(number(peer), number(key.private()));
        shared.bytes_mut().copy_from_slice(&RustCrypto.sha256(&[&product.to_be_bytes()]));
    }
}

impl Crypto for Toy {
    fn sha256(&self, parts: &[&[u8]]) -> Hash {
        RustCrypto.sha256(parts)
    }
    fn hkdf_extract(&self, salt: &[u8], ikm: &[u8], prk: &mut Secret<HASH_LEN>) {
        RustCrypto.hkdf_extract(salt, ikm, prk);
    }
    fn hkdf_expand(&self, prk: &Secret<HASH_LEN>, info: &[&[u8]], okm: &mut [u8]) -> Result<(), Backend> {
        RustCrypto.hkdf_expand(prk, info, okm)
    }
    fn seal(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Backend> {
        RustCrypto.seal(aead, key, nonce, aad, text)
    }
    fn open(&self, aead: Aead, key: &[u8], nonce: &[u8], aad: &[u8], text: &mut Vec<u8>) -> Result<(), Untrusted> {
        RustCrypto.open(aead, key, nonce, aad, text)
    }
    /// Those of credentials are real, and few.
    fn point(&self, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        let mut known = self.0.lock().unwrap();
        if let Some(known) = known.get(encoded) {
            return Ok(*known);
        }
        let point = RustCrypto.point(encoded)?;
        known.insert(encoded.to_vec(), point);
        Ok(point)
    }
    fn read_key(&self, _: KeyKind, encoded: &[u8]) -> Result<PublicKey, Misbehaved> {
        self.point(encoded)
    }
    fn generate(&self, group: Group, rng: &mut dyn Rng) -> Result<EphemeralKey, Backend> {
        let mut private = SecretBytes::zeroed(32);
        rng.fill(private.bytes_mut())?;
        let mut public = vec![0; 16];
        public.extend(power(3, number(private.bytes())).to_be_bytes());
        Ok(EphemeralKey::from_parts(group, private, public.into()))
    }
    fn encapsulate(
        &self,
        group: Group,
        g_x: &[u8],
        rng: &mut dyn Rng,
        shared: &mut Secret<HASH_LEN>,
    ) -> Result<EphemeralKey> {
        let key = self.generate(group, rng)?;
        Self::shared(&key, g_x, shared);
        Ok(key)
    }
    fn decapsulate(&self, key: &EphemeralKey, g_y: &[u8], shared: &mut Secret<HASH_LEN>) -> Result<()> {
        Self::shared(key, g_y, shared);
        Ok(())
    }
    fn agree(&self, _: &EphemeralKey, _: &PublicKey, _: &mut Secret<HASH_LEN>) -> Result<(), Backend> {
        Err(Backend::Crypto)
    }
    fn verify(&self, _: &PublicKey, _: &[u8], _: &Signature) -> Result<(), Untrusted> {
        Ok(())
    }
}

fn toyed(seed: u64, crypto: &'static dyn Crypto) -> Lab {
    let mut lab = Lab::voucher_last(seed);
    lab.crypto = crypto;
    // Not the device's: its receipts are read by the operator's systems as well.
    lab.operator_keys.forged = true;
    lab
}

/// Attack 08 at length: power cuts at every message, flash images from before, tokens between any two calls, through re-keys
/// in both modes. `NONCE_RUNS=1000000` for a million of them.
#[test]
fn crash_runs() {
    let (runs, mut done) = (often("NONCE_RUNS", 10_000), 0);
    let toy = Toy(Mutex::default());
    let crypto: &'static Double<Pairs, Toy> = Box::leak(Box::new(Double { watch: Pairs::default(), inner: toy }));
    let mut completed = 0;
    let mut lab = toyed(0, crypto);
    assert_eq!(lab.go(Goal::Provision), Ok(()), "the toy will do");
    for seed in 0.. {
        if done >= runs {
            break;
        }
        let mut lab = toyed(seed, crypto);
        lab.home.activation = if seed % 2 == 0 { Activation::OneShot } else { Activation::TwoPhase };
        lab.home.mode = if seed % 4 < 2 { Previous::Shared } else { Previous::Beside };
        for run in 0..200_u64 {
            lab.goal = if matches!(lab.held(), Some((_, true))) { Goal::Rekey } else { Goal::Provision };
            lab.travelling = (run % 3 == 0).then_some(0);
            let image = lab.store.memory.durable_copy();
            let Ok(mut device) = lab.start() else { break };
            let mut session =
                Session { messages: crate::lab::from_device(&mut device).sent, device, operator: lab.operator() };
            // The power goes after this many messages, or at the end.
            for _ in 0..run % 9 {
                let before = session.messages.len();
                if before == 0 || lab.step(&mut session).is_err() || session.messages.len() == before {
                    break;
                }
            }
            lab.power_cut();
            if run % 50 == 49 {
                lab.store.memory = image;
            }
            done += 1;
            completed += u64::from(lab.held().is_some_and(|(_, complete)| complete));
        }
    }
    let pairs = u64::try_from(crypto.watch.0.lock().unwrap().len()).unwrap();
    println!("{done} crash runs, {completed} ended with a subscription, {pairs} keys and nonces");
    assert!(done >= runs && completed > runs / 10 && pairs > 2 * runs, "{completed} {pairs}");
}
