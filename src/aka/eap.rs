//! The keys of EAP-AKA' (RFC 9048): what a run of AKA gives when EAP carries it.
//!
//! ```text
//! CK' || IK' = KDF(CK || IK, 20, network name, SQN ⊕ AK)                       RFC 9048 §3.3, TS 33.402 §A.2
//! MK = PRF'(IK' || CK', "EAP-AKA'" || identity)
//!    = K_encr, 16 bytes || K_aut, 32 || K_re, 32 || MSK, 64 || EMSK, 64
//! K_AUSF = the first 32 bytes of EMSK                                          TS 33.501 §6.1.3.1
//!
//! fast re-authentication:
//! MSK || EMSK = PRF'(K_re, "EAP-AKA' re-auth" || identity || counter || NONCE_S)
//!
//! PRF'(K, S) = T1 || T2 || …    Ti = HMAC-SHA-256(K, Ti-1 || S || i)           RFC 9048 §3.4.1
//! ```
//!
//! In 5G the network name is that of the serving network (TS 33.501 §A.3). Not here: the messages of EAP-AKA', AT_MAC,
//! AT_ENCR_DATA and the negotiation of the key derivation.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac, digest::FixedOutput};
use sha2::Sha256;

use super::{
    Challenge, Keys,
    keys::{self, KAusf},
};
use crate::{
    crypto::{
        Secret,
        sweep::{HASHES, swept},
    },
    error::Misuse,
};

/// FC of CK' and IK' (TS 33.402 §A.2).
const FC_CK_IK_PRIME: u8 = 0x20;

/// CK' and IK', 16 bytes each: CK and IK bound to an access network.
pub struct PrimeKeys(Secret<32>);

impl PrimeKeys {
    /// Of CK and IK and the network's name, on both sides: SQN ⊕ AK is taken from AUTN. `network_name` is what AT_KDF_INPUT
    /// says (TS 24.302 §8.1.1.1), in 5G a [`ServingNetworkName`](super::keys::ServingNetworkName).
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if `network_name` is longer than 65,535 bytes.
    pub fn new(keys: &Keys, network_name: &str, challenge: &Challenge) -> Result<Self, Misuse> {
        let (concealed, ..) = challenge.parts();
        let name = keys::short(network_name.as_bytes())?;
        Ok(Self(keys::kdf(&keys::ck_ik(keys), FC_CK_IK_PRIME, &[name, &concealed])))
    }

    /// CK'.
    pub const fn ck(&self) -> &[u8] {
        self.0.bytes().split_at(16).0
    }

    /// IK'.
    pub const fn ik(&self) -> &[u8] {
        self.0.bytes().split_at(16).1
    }

    /// The keys of a full authentication of `identity`, the one that the peer used in this exchange.
    pub fn eap_keys(&self, identity: &str) -> EapKeys {
        let mut mk = Secret::zeroed();
        prf(&keys::block([self.ik(), self.ck()]), &[b"EAP-AKA'", identity.as_bytes()], mk.bytes_mut());
        EapKeys(mk)
    }
}

impl fmt::Debug for PrimeKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrimeKeys(..)")
    }
}

/// MK, cut into its keys.
pub struct EapKeys(Secret<208>);

impl EapKeys {
    /// K_encr, 16 bytes, for AT_ENCR_DATA.
    pub const fn k_encr(&self) -> &[u8] {
        self.cut(0, 16)
    }

    /// K_aut, 32 bytes, for AT_MAC.
    pub const fn k_aut(&self) -> &[u8] {
        self.cut(16, 32)
    }

    /// K_re, 32 bytes, for the next fast re-authentication.
    pub const fn k_re(&self) -> &[u8] {
        self.cut(48, 32)
    }

    /// MSK, 64 bytes, for the access network.
    pub const fn msk(&self) -> &[u8] {
        self.cut(80, 64)
    }

    /// EMSK, 64 bytes, which stays at home.
    pub const fn emsk(&self) -> &[u8] {
        self.cut(144, 64)
    }

    /// K_AUSF of EAP-AKA' (TS 33.501 §6.1.3.1).
    pub fn k_ausf(&self) -> KAusf {
        let mut half = Secret::zeroed();
        for (to, from) in half.bytes_mut().iter_mut().zip(self.emsk()) {
            *to = *from;
        }
        KAusf::of_emsk(half)
    }

    /// The keys of a fast re-authentication (RFC 9048 §3.3): `identity` is the one used in it, `counter` AT_COUNTER's
    /// value, `nonce_s` AT_NONCE_S's. K_encr and K_aut stay as they are.
    pub fn reauthenticated(&self, identity: &str, counter: u16, nonce_s: &[u8; 16]) -> ReauthKeys {
        let mut out = Secret::zeroed();
        let seed: [&[u8]; 4] = [b"EAP-AKA' re-auth", identity.as_bytes(), &counter.to_be_bytes(), nonce_s];
        prf(&keys::block([self.k_re()]), &seed, out.bytes_mut());
        ReauthKeys(out)
    }

    const fn cut(&self, from: usize, len: usize) -> &[u8] {
        self.0.bytes().split_at(from).1.split_at(len).0
    }
}

impl fmt::Debug for EapKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EapKeys(..)")
    }
}

/// What a fast re-authentication gives.
pub struct ReauthKeys(Secret<128>);

impl ReauthKeys {
    /// MSK, 64 bytes.
    pub const fn msk(&self) -> &[u8] {
        self.0.bytes().split_at(64).0
    }

    /// EMSK, 64 bytes.
    pub const fn emsk(&self) -> &[u8] {
        self.0.bytes().split_at(64).1
    }
}

impl fmt::Debug for ReauthKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReauthKeys(..)")
    }
}

/// PRF' (RFC 9048 §3.4.1) over the concatenation of `seed`, filling `out`: at most 255 hashes, and no caller asks for more
/// than seven.
fn prf(key: &Secret<64>, seed: &[&[u8]], out: &mut [u8]) {
    swept::<HASHES, _>(|| {
        let mut previous: Option<Secret<32>> = None;
        for (chunk, number) in out.chunks_mut(32).zip(1_u8..) {
            let mut mac = Hmac::<Sha256>::new(key.bytes().into());
            if let Some(previous) = &previous {
                mac.update(previous.bytes());
            }
            seed.iter().for_each(|part| mac.update(part));
            mac.update(&[number]);
            let mut t = Secret::zeroed();
            mac.finalize_into(t.bytes_mut().into());
            for (to, from) in chunk.iter_mut().zip(t.bytes()) {
                *to = *from;
            }
            previous = Some(t);
        }
    })
}
