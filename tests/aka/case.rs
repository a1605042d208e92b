//! One case of a file of published numbers, and what the tests of this folder share.

use core::array;

use proptest::prelude::*;
use remote_provisioning::{
    aka::{Answer, Challenge, Ind, Milenage, Sqn, SqnArray, authenticate, sqn::Profile, vector},
    crypto::Secret,
};
use serde_json::Value;

pub(crate) struct Case(pub(crate) Value);

impl Case {
    pub(crate) fn all(json: &str) -> Vec<Self> {
        let file: Value = serde_json::from_str(json).expect("a JSON file");
        let cases: Vec<_> = file["cases"].as_array().expect("cases").iter().cloned().map(Self).collect();
        assert!(!cases.is_empty(), "no cases");
        cases
    }

    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_else(|| panic!("{} has no {name}", self.0))
    }

    pub(crate) fn bytes<const N: usize>(&self, name: &str) -> [u8; N] {
        let digits = self.text(name);
        assert_eq!(digits.len(), 2 * N, "length of {} in {}", name, self.0);
        array::from_fn(|i| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).expect("hex"))
    }

    pub(crate) fn secret(&self, name: &str) -> Secret<16> {
        Secret::from_slice(&self.bytes::<16>(name)).unwrap()
    }

    pub(crate) fn sqn(&self, name: &str) -> Sqn {
        Sqn::from_bytes(self.bytes(name))
    }

    pub(crate) fn milenage(&self) -> Milenage {
        Milenage::new(&self.secret("k"), &self.secret("opc"))
    }

    /// As many bytes as there are.
    pub(crate) fn hex(&self, name: &str) -> Vec<u8> {
        let digits = self.text(name).as_bytes().chunks(2);
        digits.map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).expect("hex")).collect()
    }

    #[track_caller]
    pub(crate) fn check(&self, name: &str, got: &[u8]) {
        assert_eq!(hex(got), self.text(name), "{name} of {}", self.text("name"));
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) const RAND: [u8; 16] = [0xa5; 16];
pub(crate) const DELTA: u64 = 1 << 28;
pub(crate) const MAX_SEQ: u64 = (1 << 43) - 1;

pub(crate) fn milenage() -> Milenage {
    Milenage::new(&Secret::from_slice(&[0x11; 16]).unwrap(), &Secret::from_slice(&[0x22; 16]).unwrap())
}

pub(crate) fn challenge(milenage: &Milenage, sqn: Sqn) -> Challenge {
    vector(milenage, &RAND, sqn, [0x80, 0]).challenge
}

pub(crate) fn ind(number: u8) -> Ind {
    Ind::new(number).expect("below 32")
}

pub(crate) fn sqn(seq: u64, number: u8) -> Sqn {
    Profile::default().sqn(seq, ind(number)).expect("43 bits")
}

/// SEQ, where IND has 5 bits.
pub(crate) fn seq(sqn: Sqn) -> u64 {
    Profile::default().seq(sqn)
}

/// One SEQ lower; 0 stays.
pub(crate) fn before(number: Sqn) -> Sqn {
    sqn(seq(number).saturating_sub(1), Profile::default().ind(number).number())
}

/// An array that has accepted these, by ascending IND.
pub(crate) fn holding(numbers: &[Sqn]) -> SqnArray {
    holding_as(Profile::default(), numbers)
}

pub(crate) fn holding_as(profile: Profile, numbers: &[Sqn]) -> SqnArray {
    let used = numbers.iter().filter(|sqn| profile.seq(**sqn) > 0);
    let bytes: Vec<u8> = used.flat_map(|sqn| sqn.to_bytes()).collect();
    SqnArray::from_bytes(profile, &bytes).expect("ascending INDs")
}

#[track_caller]
pub(crate) fn sync_failure(milenage: &Milenage, array: &mut SqnArray, challenge: &Challenge) -> [u8; 14] {
    match authenticate(milenage, array, challenge) {
        Answer::SyncFailure { auts } => auts,
        other => panic!("not a sync failure: {other:?}"),
    }
}

pub(crate) fn with_name(mut value: Value, name: &str) -> Value {
    value["name"] = name.into();
    value
}

/// Few INDs, and SEQs near the edges, so that numbers meet.
pub(crate) fn any_sqn() -> impl Strategy<Value = Sqn> {
    let seq = prop_oneof![0_u64..20, DELTA - 2..DELTA + 20, 2 * DELTA - 2..2 * DELTA + 20, 0..=MAX_SEQ];
    (seq, prop_oneof![0_u8..3, 0_u8..32]).prop_map(|(seq, number)| sqn(seq, number))
}
