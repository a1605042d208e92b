//! Certificates and revocation lists, in as many shapes as there are faults. DER by hand, because a library would not write
//! most of them.

use remote_provisioning::{
    crypto::{Crypto, rustcrypto::RustCrypto},
    identity::Role,
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
};

/// ecdsa-with-SHA256 (RFC 5758 §3.2).
const ALGORITHM: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let head = match u16::try_from(content.len()).unwrap().to_be_bytes() {
        [0, low @ 0..=127] => vec![tag, low],
        [0, low] => vec![tag, 0x81, low],
        [high, low] => vec![tag, 0x82, high, low],
    };
    [head, content.to_vec()].concat()
}

fn keys(name: &str) -> MemoryKeyStore {
    let mut keys = MemoryKeyStore::new();
    let private = RustCrypto.sha256(&[b"worthless test key of a forged certificate: ", name.as_bytes()]);
    keys.insert(KeyId(0), &private).unwrap();
    keys
}

/// tbs, the algorithm, and a signature by the key of this name.
fn signed(tbs: &[u8], signer: &str) -> Vec<u8> {
    let signature = keys(signer).sign(KeyId(0), tbs).unwrap();
    let integer = |half: &[u8]| {
        let half = &half[half.iter().position(|byte| *byte != 0).unwrap()..];
        tlv(2, &[if half[0] < 0x80 { &[][..] } else { &[0] }, half].concat())
    };
    let signature = tlv(0x30, &[integer(&signature[..32]), integer(&signature[32..])].concat());
    tlv(0x30, &[tbs, ALGORITHM, &tlv(3, &[&[0], &signature[..]].concat())].concat())
}

/// An extension: the last arc of id-ce, whether it is critical, and its value.
pub(crate) fn extension(arc: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[&[6, 3, 0x55, 0x1d, arc], flag, &tlv(4, value)].concat())
}

/// Key usage bits, the first one highest.
pub(crate) const SIGN: u8 = 0x80;
pub(crate) const ENCIPHER: u8 = 0x20;
pub(crate) const AGREE: u8 = 0x08;
pub(crate) const CERT_SIGN: u8 = 0x04;
pub(crate) const CRL_SIGN: u8 = 0x02;

/// `notBefore` and `notAfter`.
pub(crate) const GOOD: (&str, &str) = ("240101000000Z", "99991231235959Z");
pub(crate) const PAST: (&str, &str) = ("190101000000Z", "200101000000Z");
pub(crate) const FUTURE: (&str, &str) = ("20900101000000Z", "99991231235959Z");

/// A certificate, before it is one.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) serial: u8,
    /// The attribute that the subject has, 3 (commonName) or 5 (serialNumber), and its value.
    pub(crate) subject: (u8, String),
    pub(crate) issuer: (u8, String),
    /// Whose key it certifies, and whose signs it.
    pub(crate) key: String,
    pub(crate) signer: String,
    pub(crate) validity: (&'static str, &'static str),
    pub(crate) ca: Option<Option<u8>>,
    pub(crate) usage: Option<u8>,
    pub(crate) other_curve: bool,
    pub(crate) extensions: Vec<Vec<u8>>,
}

fn name((attribute, value): &(u8, String)) -> Vec<u8> {
    let pair = tlv(0x30, &[&[6, 3, 0x55, 4, *attribute], &tlv(0x13, value.as_bytes())[..]].concat());
    tlv(0x30, &tlv(0x31, &pair))
}

fn time(text: &str) -> Vec<u8> {
    tlv(if text.len() == 13 { 0x17 } else { 0x18 }, text.as_bytes())
}

impl Draft {
    pub(crate) fn issue(&self) -> Vec<u8> {
        let spki = if self.other_curve {
            // secp384r1, and any 97 bytes that look like a point.
            let algorithm = [0x30, 16, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1, 6, 5, 0x2b, 0x81, 4, 0, 34];
            tlv(0x30, &[&algorithm[..], &tlv(3, &[&[0, 4][..], &[7; 96]].concat())].concat())
        } else {
            keys(&self.key).public_key(KeyId(0)).unwrap().spki()
        };
        let mut extensions = Vec::new();
        if let Some(path) = self.ca {
            let path = path.map_or(Vec::new(), |len| vec![2, 1, len]);
            extensions.push(extension(0x13, true, &tlv(0x30, &[&[1, 1, 0xff], &path[..]].concat())));
        }
        if let Some(usage) = self.usage {
            let unused = u8::try_from(usage.trailing_zeros()).unwrap();
            extensions.push(extension(0x0f, true, &[3, 2, unused, usage]));
        }
        extensions.extend(self.extensions.iter().cloned());
        let extensions = match extensions.concat() {
            none if none.is_empty() => none,
            some => tlv(0xa3, &tlv(0x30, &some)),
        };
        let fields = [
            &[0xa0, 3, 2, 1, 2, 2, 1, self.serial][..],
            ALGORITHM,
            &name(&self.issuer),
            &tlv(0x30, &[time(self.validity.0), time(self.validity.1)].concat()),
            &name(&self.subject),
            &spki,
            &extensions,
        ];
        signed(&tlv(0x30, &fields.concat()), &self.signer)
    }
}

const ROOT: &str = "Forged Root";

/// The anchor of all chains here.
pub(crate) fn root() -> Vec<u8> {
    ca(0, ROOT, ROOT).issue()
}

fn ca(serial: u8, subject: &str, issuer: &str) -> Draft {
    Draft {
        serial,
        subject: (3, subject.into()),
        issuer: (3, issuer.into()),
        key: subject.into(),
        signer: issuer.into(),
        validity: GOOD,
        ca: Some(None),
        usage: Some(CERT_SIGN | CRL_SIGN),
        other_curve: false,
        extensions: Vec::new(),
    }
}

/// A good chain of this length, leaf first, below [`root`].
pub(crate) fn chain(role: Role, len: usize) -> Vec<Draft> {
    let name = |place: usize| if place == len { ROOT.to_owned() } else { format!("Forged CA {place}") };
    (0..len)
        .map(|place| {
            let issuer = name(place + 1);
            let serial = u8::try_from(place + 1).unwrap();
            if place > 0 {
                return ca(serial, &name(place), &issuer);
            }
            let subject = match role {
                Role::Device => (5, "IOT-0001".to_owned()),
                Role::Operator => (3, "operator.example".to_owned()),
                Role::Relay => (5, "RELAY-01".to_owned()),
            };
            let usage = Some(if role == Role::Relay { SIGN } else { SIGN | AGREE });
            Draft { subject, key: "leaf".into(), ca: None, usage, ..ca(serial, "leaf", &issuer) }
        })
        .collect()
}

pub(crate) fn issued(drafts: &[Draft]) -> Vec<Vec<u8>> {
    drafts.iter().map(Draft::issue).collect()
}

/// A revocation list, before it is one.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) issuer: String,
    pub(crate) signer: String,
    pub(crate) number: Option<Vec<u8>>,
    pub(crate) next_update: Option<&'static str>,
    pub(crate) revoked: Vec<u8>,
}

impl List {
    pub(crate) fn of(issuer: &str, number: u8, revoked: &[u8]) -> Self {
        let number = Some(vec![number]);
        let (issuer, signer) = (issuer.to_owned(), issuer.to_owned());
        Self { issuer, signer, number, next_update: Some("20400101000000Z"), revoked: revoked.to_vec() }
    }

    pub(crate) fn of_root(number: u8, revoked: &[u8]) -> Self {
        Self::of(ROOT, number, revoked)
    }

    pub(crate) fn issue(&self) -> Vec<u8> {
        let update = self.next_update.map_or(Vec::new(), |text| {
            // UTCTime until 2049 (RFC 5280 §5.1.2.5).
            time(if text.starts_with("20") && text < "2050" { &text[2..] } else { text })
        });
        let entries: Vec<u8> = self
            .revoked
            .iter()
            .flat_map(|serial| tlv(0x30, &[vec![2, 1, *serial], time("250101000000Z")].concat()))
            .collect();
        let entries = if entries.is_empty() { entries } else { tlv(0x30, &entries) };
        let numbers = self.number.iter().map(|number| extension(0x14, false, &tlv(2, number)));
        let extensions = match numbers.collect::<Vec<_>>().concat() {
            none if none.is_empty() => none,
            some => tlv(0xa0, &tlv(0x30, &some)),
        };
        let fields = [
            &[2, 1, 1][..],
            ALGORITHM,
            &name(&(3, self.issuer.clone())),
            &time("250101000000Z"),
            &update,
            &entries,
            &extensions,
        ];
        signed(&tlv(0x30, &fields.concat()), &self.signer)
    }
}
