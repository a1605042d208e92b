//! From CK and IK down: what 5G makes of an AKA run (TS 33.501 Annex A).
//!
//! ```text
//! KDF(key, FC, P0, P1, …) = HMAC-SHA-256(key, FC || P0 || L0 || P1 || L1 || …)           TS 33.220 §B.2
//!
//! RES*   = KDF(CK || IK, 6B, serving network name, RAND, RES), last 128 bits             TS 33.501 §A.4
//! HRES*  = SHA-256(RAND || RES*), last 128 bits                                          §A.5
//! K_AUSF = KDF(CK || IK, 6A, serving network name, SQN ⊕ AK)              5G AKA         §A.2
//!        = the first half of EMSK                                         EAP-AKA'       §6.1.3.1, `eap`
//! K_SEAF = KDF(K_AUSF, 6C, serving network name)                                         §A.6
//! K_AMF  = KDF(K_SEAF, 6D, SUPI, ABBA)                                                   §A.7
//! K_gNB  = KDF(K_AMF, 6E, uplink NAS COUNT, access type)                                 §A.9
//! SoR-MAC-I, UPU-MAC-I: KDF under K_AUSF, last 128 bits                                  §A.17 to §A.20
//! ```
//!
//! XRES* and HXRES* are the same functions of XRES. RES* binds RES to the network that asks; HRES* lets the serving
//! network check it without knowing it beforehand. Each key is a type of its own, made from the one above it.
//!
//! Not here: the algorithm keys of NAS and RRC (§A.8), handover (§A.10 to §A.16), and who may hold which key.

use core::{
    fmt::{self, Write},
    str::FromStr,
};

use arrayvec::ArrayString;
use hmac::{
    Hmac, KeyInit, Mac,
    digest::{Digest, FixedOutput},
};
use sha2::Sha256;

use super::{Challenge, Keys};
use crate::{
    crypto::{
        Secret,
        sweep::{HASHES, swept},
    },
    error::{Backend, Malformed, Misuse},
    identity::Plmn,
};

// FC of each derivation, by clause of TS 33.501.
const FC_K_AUSF: u8 = 0x6a; // §A.2
const FC_RES_STAR: u8 = 0x6b; // §A.4
const FC_K_SEAF: u8 = 0x6c; // §A.6
const FC_K_AMF: u8 = 0x6d; // §A.7
const FC_K_GNB: u8 = 0x6e; // §A.9
const FC_SOR_AUSF: u8 = 0x77; // §A.17
const FC_SOR_UE: u8 = 0x78; // §A.18
const FC_UPU_AUSF: u8 = 0x7b; // §A.19
const FC_UPU_UE: u8 = 0x7c; // §A.20

/// What a UE acknowledges: steering of roaming, or an update of its parameters, was verified (TS 33.501 §A.18, §A.20).
const VERIFIED: u8 = 0x01;

/// The name of a 5G serving network, as key derivation takes it (TS 33.501 §6.1.1.4, TS 24.501 §9.12.1):
/// `5G:mnc<MNC>.mcc<MCC>.3gppnetwork.org`, 32 characters, an MNC of two digits padded to three; for a stand-alone
/// non-public network followed by `:<NID>`, 11 hexadecimal digits, 44 characters in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServingNetworkName(ArrayString<44>);

impl ServingNetworkName {
    /// Of a public network.
    pub fn new(plmn: &Plmn) -> Self {
        let mut name = ArrayString::new();
        // Cannot fail: a PLMN has three digits and at most three, which make 32 characters.
        let _ = write!(name, "5G:mnc{:0>3}.mcc{}.3gppnetwork.org", plmn.mnc(), plmn.mcc());
        Self(name)
    }

    /// Of the stand-alone non-public network with this identifier, 44 bits (TS 23.003 §12.7).
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if `nid` has more bits.
    pub fn with_nid(plmn: &Plmn, nid: u64) -> Result<Self, Misuse> {
        if nid >> 44 != 0 {
            return Err(Misuse::Parameter("a NID has 44 bits"));
        }
        let Self(mut name) = Self::new(plmn);
        // Cannot fail: 32 characters, a colon and 11 digits.
        let _ = write!(name, ":{nid:011X}");
        Ok(Self(name))
    }

    /// The characters.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Exactly as key derivation takes it: three digits of MNC, upper-case digits of NID.
impl FromStr for ServingNetworkName {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let parts = || {
            let (mnc, rest) = text.strip_prefix("5G:mnc")?.split_once(".mcc")?;
            let (mcc, rest) = rest.split_once(".3gppnetwork.org")?;
            let plmn = Plmn::new(mcc, mnc).ok()?;
            match rest.strip_prefix(':') {
                Some(nid) => Self::with_nid(&plmn, u64::from_str_radix(nid, 16).ok()?).ok(),
                None => Some(Self::new(&plmn)),
            }
        };
        parts().filter(|name| name.as_str() == text).ok_or(Malformed::Text)
    }
}

impl fmt::Display for ServingNetworkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// RES* of RES, or XRES* of XRES (TS 33.501 §A.4).
pub fn res_star(keys: &Keys, serving_network_name: &ServingNetworkName, rand: &[u8; 16]) -> [u8; 16] {
    let name = serving_network_name.as_str().as_bytes();
    last_half(&kdf(&ck_ik(keys), FC_RES_STAR, &[name, rand, keys.res.bytes()]))
}

/// HRES* of RES*, or HXRES* of XRES* (TS 33.501 §A.5).
pub fn hres_star(rand: &[u8; 16], res_star: &[u8; 16]) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::new().chain_update(rand).chain_update(res_star).finalize().into();
    let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, half @ ..] = hash;
    half
}

macro_rules! key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub struct $name(Secret<32>);

        impl $name {
            /// One that was received or stored: 32 bytes.
            ///
            /// # Errors
            /// [`Backend::Crypto`] for another length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, Backend> {
                Secret::from_slice(bytes).map(Self)
            }

            /// The key.
            pub const fn secret(&self) -> &Secret<32> {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

key! {
    /// K_AUSF: the home network's key for this UE, until the next run.
    KAusf
}

key! {
    /// K_SEAF: the anchor key that the home network hands to the serving one.
    KSeaf
}

key! {
    /// K_AMF: the serving network's key.
    KAmf
}

key! {
    /// K_gNB: the base station's key, or that of a gateway of another access.
    KGnb
}

impl KAusf {
    /// Of 5G AKA (TS 33.501 §A.2), on both sides: SQN ⊕ AK is taken from AUTN. For EAP-AKA' see
    /// [`EapKeys::k_ausf`](super::eap::EapKeys::k_ausf).
    pub fn new(keys: &Keys, serving_network_name: &ServingNetworkName, challenge: &Challenge) -> Self {
        let (concealed, ..) = challenge.parts();
        Self(kdf(&ck_ik(keys), FC_K_AUSF, &[serving_network_name.as_str().as_bytes(), &concealed]))
    }

    pub(super) const fn of_emsk(half: Secret<32>) -> Self {
        Self(half)
    }

    /// K_SEAF (TS 33.501 §A.6).
    pub fn k_seaf(&self, serving_network_name: &ServingNetworkName) -> KSeaf {
        KSeaf(derive(&self.0, FC_K_SEAF, &[serving_network_name.as_str().as_bytes()]))
    }

    /// SoR-MAC-I_AUSF, with which the home network steers roaming (TS 33.501 §A.17). `header` is the SoR header; `data`
    /// what follows octet 22 of the SoR transparent container (TS 24.501 §9.11.3.51), if anything does. `counter` is
    /// CounterSoR, never used twice under one K_AUSF (§6.14.2.3).
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if a part is longer than 65,535 bytes.
    pub fn sor_mac_i_ausf(&self, header: &[u8], counter: u16, data: Option<&[u8]>) -> Result<[u8; 16], Misuse> {
        let counter = counter.to_be_bytes();
        let out = match data {
            Some(data) => derive(&self.0, FC_SOR_AUSF, &[short(header)?, &counter, short(data)?]),
            None => derive(&self.0, FC_SOR_AUSF, &[short(header)?, &counter]),
        };
        Ok(last_half(&out))
    }

    /// SoR-MAC-I_UE, with which the UE acknowledges it (TS 33.501 §A.18). Compare with
    /// [`equal`](crate::crypto::equal).
    pub fn sor_mac_i_ue(&self, counter: u16) -> [u8; 16] {
        last_half(&derive(&self.0, FC_SOR_UE, &[&[VERIFIED], &counter.to_be_bytes()]))
    }

    /// UPU-MAC-I_AUSF, with which the home network updates a UE's parameters (TS 33.501 §A.19). `data` is the UE parameters
    /// update list from octet 23 on (TS 24.501 §9.11.3.53A), `counter` CounterUPU (§6.15.2.2).
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if `data` is longer than 65,535 bytes.
    pub fn upu_mac_i_ausf(&self, data: &[u8], counter: u16) -> Result<[u8; 16], Misuse> {
        Ok(last_half(&derive(&self.0, FC_UPU_AUSF, &[short(data)?, &counter.to_be_bytes()])))
    }

    /// UPU-MAC-I_UE, with which the UE acknowledges it (TS 33.501 §A.20). Compare with
    /// [`equal`](crate::crypto::equal).
    pub fn upu_mac_i_ue(&self, counter: u16) -> [u8; 16] {
        last_half(&derive(&self.0, FC_UPU_UE, &[&[VERIFIED], &counter.to_be_bytes()]))
    }
}

impl KSeaf {
    /// K_AMF (TS 33.501 §A.7). `supi` is the IMSI's digits or the NAI, without a prefix; `abba` is `0000` unless the serving
    /// network says otherwise (§A.7.1).
    ///
    /// # Errors
    /// [`Misuse::Parameter`] if one is longer than 65,535 bytes.
    pub fn k_amf(&self, supi: &str, abba: &[u8]) -> Result<KAmf, Misuse> {
        Ok(KAmf(derive(&self.0, FC_K_AMF, &[short(supi.as_bytes())?, short(abba)?])))
    }
}

/// What a UE attaches through (TS 33.501 §A.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessType {
    /// 0x01, a base station: the key is K_gNB.
    ThreeGpp,
    /// 0x02, another access: the key is K_N3IWF, K_TNGF, K_TWIF or K_WAGF.
    NonThreeGpp,
}

impl KAmf {
    /// K_gNB, or the key of another access (TS 33.501 §A.9).
    pub fn k_gnb(&self, uplink_nas_count: u32, access: AccessType) -> KGnb {
        let access = match access {
            AccessType::ThreeGpp => 1,
            AccessType::NonThreeGpp => 2,
        };
        KGnb(derive(&self.0, FC_K_GNB, &[&uplink_nas_count.to_be_bytes(), &[access]]))
    }
}

/// CK ‖ IK, the key of the first step (TS 33.501 §A.2 to §A.4).
pub(super) fn ck_ik(keys: &Keys) -> Secret<64> {
    block([keys.ck.bytes(), keys.ik.bytes()])
}

/// A key as HMAC takes it: filled up with zeros to a block of the hash (RFC 2104 §2). None here is longer than a block.
pub(super) fn block<const N: usize>(parts: [&[u8]; N]) -> Secret<64> {
    let mut key = Secret::zeroed();
    for (to, from) in key.bytes_mut().iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    key
}

/// The generic key derivation function (TS 33.220 §B.2). Each parameter has passed [`short`], or is short by its type.
pub(super) fn kdf(key: &Secret<64>, fc: u8, parameters: &[&[u8]]) -> Secret<32> {
    swept::<HASHES, _>(|| {
        let mut mac = Hmac::<Sha256>::new(key.bytes().into());
        mac.update(&[fc]);
        for parameter in parameters {
            let [.., high, low] = parameter.len().to_be_bytes();
            mac.update(parameter);
            mac.update(&[high, low]);
        }
        let mut out = Secret::zeroed();
        mac.finalize_into(out.bytes_mut().into());
        out
    })
}

/// A step further down: under the key above.
fn derive(key: &Secret<32>, fc: u8, parameters: &[&[u8]]) -> Secret<32> {
    kdf(&block([key.bytes()]), fc, parameters)
}

/// A parameter whose length has a place in the KDF's input.
pub(super) fn short(parameter: &[u8]) -> Result<&[u8], Misuse> {
    match u16::try_from(parameter.len()) {
        Ok(_) => Ok(parameter),
        Err(_) => Err(Misuse::Parameter("a parameter of the KDF has at most 65,535 bytes")),
    }
}

/// The 128 least significant bits.
pub(super) const fn last_half(secret: &Secret<32>) -> [u8; 16] {
    let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, half @ ..] = *secret.bytes();
    half
}
