//! Remote provisioning of 3GPP subscription credentials, sans-IO.
//!
//! A factory-new IoT device holds only a manufacturer identity. At its first access to a 3GPP network it proves *which*
//! device it is, its home operator proves that it is the one entitled to it, and both derive a new subscription: the
//! long-term key K, OPc, SUPI, sequence number and SUCI data. **K is never sent.** Before anybody relies on the
//! subscription, a real AKA run with it shows that both sides hold the same one; and at every moment in between, a power
//! cut or a lost message leaves the device able to go on.
//!
//! # The map
//!
//! ```text
//!            your transport          bytes in, bytes out: EAP in NAS, CoAP, UDP, SMS, serial …
//!                  │
//!              (framing)              large messages over small links, where yours does not carry them whole
//!                  │
//!                  │                       (cores)         what to tell osmo-hlr, Open5GS, free5GC
//!                  │                          │
//!   provisioning ──┴── Device ◀─────────────▶ Operator      what is asked, offered, committed, confirmed
//!        │               │                        │
//!      edhoc            who is this, and a session with them             RFC 9528
//!      authority        what owners and users sign about a device        RFC 8392
//!        │               │                        │
//!   trust · attestation · credential   whose device · in what state · the package and K
//!                                                                         RFC 5280, 8366, 9711, 9783, TS 33.501
//!        │               │                        │
//!   aka · cose · store   vectors, SQN, 5G keys · signed and sealed · keys and slots
//!        │
//!   wire · crypto · identity · time · error
//! ```
//!
//! Imports run downwards only; `tests/layers.rs` holds them to it.
//!
//! | you are | you bring | you start at |
//! |---|---|---|
//! | a device firmware engineer | a transport, a [`crypto::Rng`], anchors, a [`store::SubscriptionStore`], a [`store::KeyStore`], an [`attestation::Attester`] and perhaps a [`credential::Usim`] over your secure element | [`Device`] |
//! | an operator back-end engineer | a transport, a database, a core network | [`Operator`] and its [`Question`](provisioning::Question)s; [`cores`] for those about the core network |
//! | anyone with a SIM problem | K, OPc, RAND | [`aka`] |
//!
//! [`manual::embedding`] has both sides in fifty lines each, for a program of your own; [`manual::assurance`] what was done to
//! attack this crate, [`manual::cost`] what a provisioning costs.
//!
//! Nothing in here has a clock, a socket, a file, a thread or a random source: time and randomness are arguments, storage
//! and trust are traits or questions to you. `no_std` + `alloc`.
//!
//! # Quick start
//!
//! Both sides in one process; each line between them would be a packet of yours.
//!
//! ```
//! # #[cfg(feature = "sim")] fn main() -> Result<(), remote_provisioning::error::Error> {
//! use remote_provisioning::{
//!     Device, Millis, Operator,
//!     credential::SoftUsim,
//!     crypto::rustcrypto::RustCrypto,
//!     edhoc::OwnCredential,
//!     identity::Domain,
//!     provisioning::{Desk, Platform, device::{self, Goal, Introduction}, operator},
//!     sim::{IDENTITY, SeededRng, TODAY, home::Home, identities, maker},
//!     store::memory::{MemoryKeyStore, MemoryStore},
//! };
//!
//! // What the device was made with: a key, a certificate chain, its name, the key of its home to conceal that name under,
//! // an anchor for operators, the key of its maker, who says which operator owns it, and a root of trust that attests.
//! let mut device_keys = MemoryKeyStore::new();
//! device_keys.insert(IDENTITY, identities::device_key())?;
//! let own = OwnCredential::chain(IDENTITY, &identities::device_chain())?;
//! let introduction = Introduction::VoucherFirst(maker::home_key()?);
//! let device_config = device::Config::new(own, maker::device_name()?, Domain::Test, introduction);
//! let device_anchors = identities::factory_anchors();
//! let attestation = maker::Attestation::new(&maker::device_name()?)?;
//! let (mut store, mut usim) = (MemoryStore::new(), SoftUsim);
//!
//! // What the operator has: likewise, and its own systems with the device's voucher, here in memory.
//! let mut operator_keys = MemoryKeyStore::new();
//! operator_keys.insert(IDENTITY, identities::operator_key())?;
//! let own = OwnCredential::chain(IDENTITY, &identities::operator_chain())?;
//! let operator_anchors = identities::maker_anchors();
//! let (mut home, storage) = (Home::laboratory()?, Home::storage_key()?);
//!
//! // In earnest: a hardware source, and time that passes.
//! let (mut rng, mut other_rng, now) = (SeededRng::new(1), SeededRng::new(2), Millis(0));
//! let mut platform = Platform {
//!     crypto: &RustCrypto,
//!     rng: &mut rng,
//!     keys: &device_keys,
//!     anchors: &device_anchors,
//!     attester: Some(&attestation),
//!     subscriptions: &mut store,
//!     usim: &mut usim,
//!     date: None,
//! };
//! let mut desk = Desk {
//!     crypto: &RustCrypto,
//!     rng: &mut other_rng,
//!     keys: &operator_keys,
//!     storage: &storage,
//!     anchors: &operator_anchors,
//!     date: TODAY,
//! };
//! let mut device = Device::start(device_config, Goal::Provision, now, &mut platform)?;
//! let mut operator = Operator::new(operator::Config::new(own, Domain::Test));
//!
//! while let Some(action) = device.poll() {
//!     match action {
//!         device::Action::Send(bytes) => operator.handle_message(&bytes, now, &mut desk)?,
//!         device::Action::Installed(subscription) => println!("new subscription: {}", subscription.id.supi),
//!         device::Action::Finished(result) => return result,
//!         // In earnest: a timer that calls `device.handle_timeout`.
//!         // And a device looks at the other actions, which say what to tell its user.
//!         _ => {}
//!     }
//!     while let Some(action) = operator.poll() {
//!         match action {
//!             operator::Action::Send(bytes) => device.handle_message(&bytes, now, &mut platform)?,
//!             // In earnest: a database, an HSM, a core network, whenever they are ready.
//!             operator::Action::Ask(question) => operator.answer(home.answer(question), &mut desk)?,
//!             operator::Action::WakeAt(_) | operator::Action::Finished(_) => {}
//!         }
//!     }
//! }
//! # Err(remote_provisioning::error::Error::Unanswered)
//! # }
//! # #[cfg(not(feature = "sim"))] fn main() {}
//! ```
//!
//! # Features
//!
//! | feature | default | what it adds |
//! |---|---|---|
//! | `std` | yes | tables in the crypto backend that a device has no RAM for |
//! | `rustcrypto` | yes | `crypto::rustcrypto`, the backend for every machine, and the in-memory key store |
//! | `x509` | yes | certificates: chains to an anchor, revocation lists, vouchers that pin a certificate. 78 KB of a firmware |
//! | `ccm` | yes | AES-CCM in the shipped backend, and with it EDHOC's suites 2 and 3 |
//! | `tuak` | yes | `aka::tuak`, the algorithm set |
//! | `x25519` | no | X25519 and Ed25519 in every backend and key store, for EDHOC's suite 0 |
//! | `aws-lc-rs` | no | `crypto::aws_lc` and `store::aws_lc`, the backend and key store for servers, three to four times as fast; wants a C compiler |
//! | `sim` | no | `sim`: two machines, one clock, one seed; test identities with published keys |
//!
//! # What it does not do
//!
//! P-256 alone does not withstand an attacker who records today and computes with a quantum computer later, and K lives
//! long: [`credential`] names the place where a KEM secret will enter.

#![no_std]
#![forbid(unsafe_code)]
// Beyond what Cargo.toml denies everywhere: a test may do both.
#![cfg_attr(not(test), deny(clippy::string_slice, clippy::unreachable))]
#![cfg_attr(docsrs, feature(doc_cfg))]

extern crate alloc;
#[cfg(any(feature = "std", seeded_faults))]
extern crate std;

pub mod aka;
pub mod attestation;
pub mod authority;
pub mod cores;
pub mod cose;
pub mod credential;
pub mod crypto;
pub mod edhoc;
pub mod error;
#[cfg(seeded_faults)]
pub mod fault;
#[cfg(not(seeded_faults))]
mod fault;
pub mod framing;
pub mod identity;
pub mod manual;
pub mod provisioning;
#[cfg(feature = "sim")]
pub mod sim;
pub mod store;
pub mod time;
pub mod trust;
pub mod wire;

pub use error::Error;
pub use provisioning::{Device, Millis, Operator};
