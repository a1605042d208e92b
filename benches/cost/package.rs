//! The package sealed and opened. Floor: its key out of the exporter's pseudorandom key, and A256GCM over the same bytes.

use core::hint::black_box;
use std::rc::Rc;

use remote_provisioning::{
    aka::Challenge,
    credential::{self, Activation, Algorithm, Exporter, MilenageParameters, Package, Previous, Txn},
    crypto::{Aead, Crypto, Secret},
    error,
    identity::Domain,
    wire,
};

use crate::{parties, row::Row};

const TXN: Txn = [0x33; 16];
const KEY: [u8; 16] = [0x44; 16];

/// What a session is for a package.
struct Prk(Secret<32>);

impl Exporter for Prk {
    fn export(&self, label: u16, context: &[u8], out: &mut [u8], crypto: &dyn Crypto) -> Result<(), error::Backend> {
        let info = wire::encode_with(|w| {
            w.unsigned(label.into());
            w.bytes(context);
            w.unsigned(out.len().try_into().unwrap());
        });
        crypto.hkdf_expand(&self.0, &[&info], out)
    }
}

pub(crate) fn rows() -> Vec<Row> {
    parties::backends().into_iter().flat_map(|backend| of(backend.name, backend.crypto)).collect()
}

fn of(name: &str, crypto: &'static dyn Crypto) -> [Row; 2] {
    let session = Rc::new(Prk(Secret::from_slice(&[7; 32]).unwrap()));
    let sealed = seal(&session, crypto);
    let len = wire::encode(&package()).len();
    let key = |session: &Prk| {
        let mut key = Secret::<32>::zeroed();
        crypto.hkdf_expand(&session.0, &[black_box(&[1; 25])], key.bytes_mut()).unwrap();
        key
    };
    let mut ciphertext = vec![1; len];
    crypto.seal(Aead::A256Gcm, key(&session).bytes(), &[0; 12], &[2; 33], &mut ciphertext).unwrap();
    let [one, two, three] = [(); 3].map(|()| session.clone());
    let sealing = Row::new(
        format!("package/{name}/seal"),
        move || drop(black_box(seal(&session, crypto))),
        move || {
            let mut text = Vec::with_capacity(len + 16);
            text.resize(len, 1);
            crypto.seal(Aead::A256Gcm, key(&one).bytes(), &[0; 12], &[2; 33], black_box(&mut text)).unwrap();
        },
    );
    let opening = Row::new(
        format!("package/{name}/open"),
        move || {
            let opened = credential::open(black_box(&sealed), Domain::Test, &TXN, &*two, crypto).unwrap();
            black_box(wire::decode::<Package<'_>>(opened.bytes()).unwrap());
        },
        move || {
            let mut text = ciphertext.clone();
            crypto.open(Aead::A256Gcm, key(&three).bytes(), &[0; 12], &[2; 33], black_box(&mut text)).unwrap();
        },
    );
    [sealing.calls(100), opening.calls(100)]
}

fn seal(session: &Prk, crypto: &dyn Crypto) -> Vec<u8> {
    credential::seal(black_box(&package()), Domain::Test, &TXN, session, crypto).unwrap()
}

fn package() -> Package<'static> {
    Package {
        epoch: 3,
        supi: "001010123456789".parse().unwrap(),
        algorithm: Algorithm::Milenage,
        parameters: MilenageParameters { opc: &KEY },
        challenge: Challenge { rand: TXN, autn: KEY },
        suci: None,
        profile: None,
        activation: Activation::OneShot,
        previous: Previous::None,
    }
}
