//! Whose device is this? Published vouchers, the line of owners, and everything that does not make an owner.
#![cfg(feature = "sim")]
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod line;
mod model;
mod published;

use remote_provisioning::{
    crypto::{Crypto, Hash, PublicKey, Signature, rustcrypto::RustCrypto},
    error::{Backend, Error, Untrusted, Voucher as Fault},
    identity::{Domain, PeerName, Role},
    sim::maker::{keys, signer},
    store::{KeyId, KeyStore, memory::MemoryKeyStore},
    trust::{
        Date, Maker, MemoryAnchors, Peer, Usage,
        voucher::{Assertion, Holder, Ownership, Pin, Voucher, extend, first, outline, verify},
    },
};

const SERIAL: &str = "IOT-0042";
const NONCE: &[u8] = b"eight or more";

/// A key of a party: a maker, an owner.
struct Party {
    keys: MemoryKeyStore,
}

impl Party {
    fn new(name: &str) -> Self {
        Self { keys: keys(&["Published test key for vouchers: ", name].concat()).unwrap() }
    }

    fn key(&self) -> PublicKey {
        self.keys.public_key(KeyId(0)).unwrap()
    }

    fn thumbprint(&self) -> Hash {
        self.key().thumbprint(&RustCrypto)
    }

    fn sign(&self) -> impl Fn(&[u8]) -> Result<Signature, Backend> {
        signer(&self.keys)
    }

    /// As the device meets it, authenticated.
    fn peer(&self) -> Peer {
        Peer::new(b"credential", self.key(), "op.example".parse().unwrap(), Role::Operator, Domain::Test, Usage::ANY)
    }
}

fn word(owner: &Party) -> Voucher<'static> {
    Voucher {
        assertion: Some(Assertion::Verified),
        created_on: Some(Date(1_748_736_000)),
        expires_on: None,
        nonce: None,
        pinned: Pin::Thumbprint(owner.thumbprint()),
        serial: SERIAL,
    }
}

/// A maker, its device and some who want to own it.
struct Market {
    maker: Party,
    owners: Vec<Party>,
    anchors: MemoryAnchors,
    serial: PeerName,
    /// What the device holds.
    held: Option<Ownership>,
    date: Option<Date>,
}

impl Market {
    fn new() -> Self {
        let maker = Party::new("maker");
        let mut anchors = MemoryAnchors::new();
        anchors.add_maker(Maker::new(maker.key(), Domain::Test)).unwrap();
        let owners = (0..20).map(|number| Party::new(&format!("owner {number}"))).collect();
        Self { maker, owners, anchors, serial: SERIAL.parse().unwrap(), held: None, date: None }
    }

    fn issue(&self, voucher: &Voucher<'_>) -> Vec<u8> {
        first(&voucher.sign(self.maker.sign()).unwrap())
    }

    /// The first owner's chain.
    fn sold(&self) -> Vec<u8> {
        self.issue(&word(&self.owners[0]))
    }

    fn handed_on(&self, chain: &[u8], from: usize, to: usize, epoch: u32) -> Vec<u8> {
        let (from, to) = (&self.owners[from], self.owners[to].thumbprint());
        extend(chain, &from.key(), &to, epoch, Domain::Test, from.sign(), &RustCrypto).unwrap()
    }

    /// Owner 0 to owner `count - 1`, one epoch each.
    fn line(&self, count: usize) -> Vec<u8> {
        (1..count).fold(self.sold(), |chain, to| self.handed_on(&chain, to - 1, to, u32::try_from(to + 1).unwrap()))
    }

    fn show_with(&self, chain: &[u8], owner: usize, nonce: Option<&[u8]>) -> Result<Ownership, Error> {
        let (held, date) = (self.held.as_ref(), self.date);
        let holder = Holder { serial: &self.serial, domain: Domain::Test, held, nonce, date };
        verify(chain, &holder, &self.owners[owner].peer(), &self.anchors, &RustCrypto)
    }

    fn show(&self, chain: &[u8], owner: usize) -> Result<Ownership, Error> {
        self.show_with(chain, owner, None)
    }

    /// Shows it, and the device keeps it.
    fn accept(&mut self, chain: &[u8], owner: usize) -> Ownership {
        let ownership = self.show(chain, owner).unwrap();
        self.held = Some(ownership);
        ownership
    }
}

fn refused(why: Fault) -> Result<Ownership, Error> {
    Err(Error::Untrusted(why.into()))
}
