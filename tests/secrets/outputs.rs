//! What is printed: everything that has a `Debug`, and every error, over many runs in which things go wrong.

use std::collections::BTreeSet;

use remote_provisioning::{
    aka::milenage,
    credential::{Activation, Previous},
    crypto::Secret,
    error::Code,
    provisioning::{device::Goal, operator},
    sim::{SeededRng, identities, maker},
};

use crate::{
    lab::{
        Clock, Lab, Wrong,
        double::{Kind, Recording},
    },
    often,
};

/// All forms in which a secret could be printed: raw, in hexadecimal, in base64, and as a list of numbers.
pub(crate) fn forms(secret: &[u8]) -> Vec<String> {
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{secret:?}");
    let hex_list = format!("{secret:02x?}");
    let inner = |list: &str| list.trim_matches(['[', ']']).to_owned();
    let escaped = secret.escape_ascii().to_string();
    vec![hex.to_uppercase(), hex, base64(secret), inner(&list), inner(&hex_list), escaped]
}

/// RFC 4648 §4; the last characters, which hang on what comes after, are left out.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let sextets = bytes.chunks_exact(3).flat_map(|three| {
        let all = three.iter().fold(0_usize, |all, byte| all << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(DIGITS[all >> shift & 63]))
    });
    sextets.collect()
}

/// The secrets of a run, cut to eight bytes: as good as the whole.
pub(crate) fn secrets(recording: &Recording) -> BTreeSet<Vec<u8>> {
    let mut all: BTreeSet<Vec<u8>> = BTreeSet::new();
    all.insert(identities::device_key()[..8].to_vec());
    all.insert(identities::operator_key()[..8].to_vec());
    all.insert(maker::home_scalar().unwrap().bytes()[..8].to_vec());
    let op = Secret::from_slice(&[0xcd; 16]).unwrap();
    for (kind, secret) in recording.take().secrets {
        // MACs and salts are no keys, and K is the first half of a PRK.
        if kind == Kind::Prk {
            let opc = milenage::opc(&Secret::from_slice(&secret[..16]).unwrap(), &op);
            all.insert(opc.bytes()[..8].to_vec());
        }
        if kind != Kind::Okm {
            all.insert(secret[..8].to_vec());
        }
    }
    all
}

/// Plays one session, and prints all that it meets.
fn printed(lab: &mut Lab, out: &mut String, sources: &mut SeededRng) {
    let mut say = |what: &dyn core::fmt::Debug| out.push_str(&format!("{what:?}\n"));
    let mut device = match lab.start() {
        Ok(device) => device,
        Err(error) => return say(&error),
    };
    let mut operator = lab.operator();
    for _ in 0..40 {
        let mut heard = Vec::new();
        while let Some(action) = device.poll() {
            say(&action);
            if let remote_provisioning::provisioning::device::Action::Send(bytes) = action {
                heard.push(bytes);
            }
        }
        say(&device);
        let mut said = Vec::new();
        let mut hear = |bytes: &mut Vec<u8>| {
            if sources.chance(0.05) {
                let at = sources.below(bytes.len());
                bytes[at] ^= 1;
            }
        };
        for mut bytes in heard {
            hear(&mut bytes);
            if let Err(error) = lab.tell_operator(&mut operator, &bytes) {
                say(&(error, error.to_string()));
            }
            say(&operator);
            while let Some(action) = operator.poll() {
                say(&action);
                match action {
                    operator::Action::Send(bytes) => said.push(bytes),
                    operator::Action::Ask(question) => {
                        let refused = crate::lab::no(&question, Code::TryLater);
                        let answer = lab.home.answer(question);
                        let answer = if lab.refusing.is_some() { refused } else { answer };
                        lab.refusing = None;
                        say(&answer);
                        if let Err(error) = lab.answer(&mut operator, answer) {
                            say(&(error, error.to_string()));
                        }
                    }
                    _ => {}
                }
            }
        }
        if said.is_empty() {
            break;
        }
        for mut bytes in said {
            hear(&mut bytes);
            if let Err(error) = lab.tell_device(&mut device, &bytes) {
                say(&(error, error.to_string()));
            }
        }
    }
    say(&lab.home);
    say(&lab.store.memory);
    say(&lab.storage);
    say(&lab.device_config);
    say(&lab.held());
    lab.home.entries().for_each(|entry| say(&entry));
}

/// `OUTPUT_RUNS=10000` for ten thousand of them.
#[test]
fn nothing_secret_is_printed() {
    let runs = often("OUTPUT_RUNS", 300);
    let (mut sessions, mut searched, mut length, mut errors) = (0, 0, 0, BTreeSet::<String>::new());
    let recording = Recording::new();
    for seed in (0..).take_while(|seed| seed * 3 < runs) {
        let mut sources = SeededRng::new(seed ^ 0x5eed);
        let mut lab = if seed % 2 == 0 { Lab::new(seed) } else { Lab::attested(seed) };
        lab.crypto = recording;
        lab.home.activation = if sources.chance(0.5) { Activation::OneShot } else { Activation::TwoPhase };
        lab.home.mode = if sources.chance(0.5) { Previous::Shared } else { Previous::Beside };
        let mut out = String::new();
        for goal in [Goal::Provision, Goal::Rekey, Goal::Query] {
            lab.goal = goal;
            lab.refusing = sources.chance(0.1).then_some(("any", Code::TryLater));
            lab.store.good_for = sources.chance(0.15).then(|| sources.below(4));
            lab.rng.good_for = sources.chance(0.1).then(|| sources.below(12));
            lab.device_keys.good_for.set(sources.chance(0.1).then(|| sources.below(4)));
            lab.operator_keys.good_for.set(sources.chance(0.1).then(|| sources.below(2)));
            let wrong = [Wrong::Back, Wrong::Forward, Wrong::Still, Wrong::NoDate][sources.below(4)];
            let clock = Clock { good_for: sources.below(12), wrong, once: sources.chance(0.5), moves: 0 };
            lab.clock = sources.chance(0.1).then_some(clock);
            printed(&mut lab, &mut out, &mut sources);
            sessions += 1;
        }
        errors.extend(out.match_indices("Err(").map(|(at, _)| out[at..].chars().take(30).collect::<String>()));
        let secrets = secrets(&recording.watch);
        for form in secrets.iter().flat_map(|secret| forms(secret)) {
            assert!(!out.contains(&form), "seed {seed}: {form}");
        }
        searched += secrets.len();
        length += out.len();
    }
    println!("{sessions} runs, {searched} secrets, {length} bytes of output, {} kinds of errors", errors.len());
    assert!(searched > 8 * sessions && length > 1_000 * sessions && errors.len() > 10, "{errors:?}");
    // The test can fail.
    let secret: Vec<u8> = (0..8).map(|byte| byte * 31 + 7).collect();
    for shown in [format!("{secret:?}"), format!("{secret:02x?}"), format!("x{}y", base64(&secret))] {
        assert!(forms(&secret).iter().any(|form| shown.contains(form)), "{shown}");
    }
}
