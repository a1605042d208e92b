//! Who somebody is, whose a device is, in what state it is, and what it has signed.
//!
//! ```text
//! chain of N        `trust::verify`, N certificates below an anchor; floor: N signatures verified
//! issuer known      a chain of two, where the issuer's certificate was seen before; floor: one
//! voucher of N      `voucher::verify` with a line of N owners; floor: N signatures, and N - 1 keys decompressed
//! receipts, N       `History::extend`; floor: N signatures
//! PSA evidence      `Policy::appraise` with all demands; floor: a signature, and the hash of the evidence
//! ```

use core::hint::black_box;
use std::rc::Rc;

use remote_provisioning::{
    attestation::{Attester, Format, TokenVerifier},
    crypto::{Crypto, PublicKey, Signature},
    identity::{Domain, Role},
    provisioning::receipt::{Event, Head, History, Receipt},
    sim::{TODAY, identities, maker},
    store::{KeyId, KeyStore},
    trust::{
        self, Anchor, CredentialId, KnownIssuers, MemoryAnchors, Peer, Usage,
        voucher::{self, Holder},
    },
};

use crate::{
    forge,
    parties::{self, Backend},
    row::Row,
};

const KEY: KeyId = KeyId(0);
const LENGTHS: [usize; 5] = [1, 2, 4, 8, 16];

pub(crate) fn rows() -> Vec<Row> {
    parties::backends().into_iter().flat_map(of).collect()
}

fn of(backend: Backend) -> Vec<Row> {
    let signature = Rc::new(Checked::new(backend.crypto));
    let mut rows = vec![
        chain(backend, "issuer known", 2, |anchors| anchors.remember_issuers(KnownIssuers::new(16)), 1, &signature),
        evidence(backend, &signature),
    ];
    rows.extend([1, 2, 3, 4].map(|len| chain(backend, &format!("chain of {len}"), len, |_| (), len, &signature)));
    rows.extend(LENGTHS.map(|entries| vouchers(backend, entries, &signature)));
    rows.extend(LENGTHS.map(|entries| receipts(backend, entries, &signature)));
    rows
}

/// A signature to verify, for floors.
struct Checked {
    crypto: &'static dyn Crypto,
    key: PublicKey,
    compressed: [u8; 33],
    signature: Signature,
}

const MESSAGE: [u8; 300] = [7; 300];

impl Checked {
    fn new(crypto: &'static dyn Crypto) -> Self {
        let keys = maker::keys("floor").unwrap();
        let key = keys.public_key(KEY).unwrap();
        let signature = keys.sign(KEY, &MESSAGE).unwrap();
        Self { crypto, key, compressed: key.compressed().unwrap(), signature }
    }

    fn verify(&self, times: usize) {
        for _ in 0..times {
            self.crypto.verify(black_box(&self.key), &MESSAGE, &self.signature).unwrap();
        }
    }

    fn decompress(&self, times: usize) {
        for _ in 0..times {
            black_box(self.crypto.point(black_box(&self.compressed)).unwrap());
        }
    }
}

fn chain(
    backend: Backend,
    name: &str,
    len: usize,
    change: impl Fn(&mut MemoryAnchors),
    signatures: usize,
    checked: &Rc<Checked>,
) -> Row {
    let certificates = forge::issued(&forge::chain(Role::Device, len));
    let mut anchors = MemoryAnchors::new();
    anchors.add_anchor(Anchor::from_certificate(&forge::root(), Role::Device, Domain::Test).unwrap()).unwrap();
    change(&mut anchors);
    let checked = checked.clone();
    let all = move || {
        let claimed = CredentialId::Chain(certificates.iter().map(Vec::as_slice).collect());
        let peer = trust::verify(&claimed, Role::Device, Domain::Test, &anchors, backend.crypto, Some(TODAY));
        drop(black_box(peer.unwrap()));
    };
    Row::new(format!("trust/{}/{name}", backend.name), all, move || checked.verify(signatures)).goal(1.02)
}

fn vouchers(backend: Backend, entries: usize, checked: &Rc<Checked>) -> Row {
    let name = maker::device_name().unwrap();
    let owners: Vec<_> = (0..entries).map(|number| maker::keys(&format!("owner {number}")).unwrap()).collect();
    let key = |at: usize| owners.get(at).unwrap().public_key(KEY).unwrap();
    let mut chain = maker::voucher(&name, &key(0)).unwrap();
    for at in 1..entries {
        let (signer, next) = (owners.get(at - 1).unwrap(), key(at).thumbprint(backend.crypto));
        let epoch = u32::try_from(at + 1).unwrap();
        let sign = maker::signer(signer);
        chain = voucher::extend(&chain, &key(at - 1), &next, epoch, Domain::Test, sign, backend.crypto).unwrap();
    }
    let operator = Peer::new(&[], key(entries - 1), name, Role::Operator, Domain::Test, Usage::ANY);
    let (anchors, checked) = (identities::factory_anchors(), checked.clone());
    let all = move || {
        let holder = Holder { serial: &name, domain: Domain::Test, held: None, nonce: None, date: None };
        black_box(voucher::verify(black_box(&chain), &holder, &operator, &anchors, backend.crypto).unwrap());
    };
    let floor = move || {
        checked.verify(entries);
        checked.decompress(entries - 1);
    };
    Row::new(format!("trust/{}/voucher of {entries}", backend.name), all, floor).goal(1.05)
}

fn receipts(backend: Backend, entries: usize, checked: &Rc<Checked>) -> Row {
    let keys = maker::keys("a device that signs receipts").unwrap();
    let mut line: Vec<Vec<u8>> = Vec::new();
    for sequence in 1..=entries {
        let receipt = Receipt {
            domain: Domain::Test,
            sequence: sequence.try_into().unwrap(),
            previous: line.last().map(|last| backend.crypto.sha256(&[last])),
            txn: [7; 16],
            event: Event::Activated,
            supi_hash: [1; 32],
            epoch: 1,
            package_hash: [2; 32],
            owner_epoch: 1,
            grant: None,
        };
        line.push(receipt.sign(maker::signer(&keys)).unwrap());
    }
    let (key, checked) = (keys.public_key(KEY).unwrap(), checked.clone());
    let all = move || {
        let mut history = History::after(Head::default());
        history.extend(line.iter().map(Vec::as_slice), &key, backend.crypto).unwrap();
        black_box(&history);
    };
    Row::new(format!("trust/{}/receipts, {entries}", backend.name), all, move || checked.verify(entries)).goal(1.02)
}

fn evidence(backend: Backend, checked: &Rc<Checked>) -> Row {
    let device = maker::device_id().unwrap();
    let attestation = maker::Attestation::new(device.name()).unwrap();
    let formats = [Format::Psa.number().into()];
    let evidence = attestation.evidence(&[9; 32], &formats).unwrap().unwrap();
    let endorsements = maker::endorsements(&[device]).unwrap();
    let (policy, checked, hashed) = (maker::policy().unwrap(), checked.clone(), evidence.clone());
    let all = move || {
        let verifier = TokenVerifier::new(&endorsements);
        let verdict = policy.appraise(&device, Some(black_box(&evidence)), &[9; 32], &verifier, backend.crypto);
        drop(black_box(verdict.unwrap()));
    };
    let floor = move || {
        checked.verify(1);
        black_box(backend.crypto.sha256(&[&hashed]));
    };
    Row::new(format!("trust/{}/PSA evidence", backend.name), all, floor).goal(1.05)
}
