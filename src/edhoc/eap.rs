//! What EAP takes from a session (draft-ietf-emu-eap-edhoc-12 §3.3), and 5G from that.
//!
//! ```text
//! MSK       = EDHOC_Exporter(26, << Type >>, 64)            Type = 57
//! EMSK      = EDHOC_Exporter(27, << Type >>, 64)
//! Method-Id = EDHOC_Exporter(28, << Type >>, 64)            Session-Id = Type || Method-Id
//! K_AUSF    = the first 32 bytes of EMSK                    TS 33.501 §I.2.3.1: as with EAP-AKA', §6.1.3.1
//!             … of MSK, behind an AAA server                TS 33.501 §I.2.2.2.2 step 14, §I.2.3.2
//! ```
//!
//! Which of the two is where the EAP server is. An operator that is its own AUSF takes EMSK. One that is an AAA server to
//! somebody else's network (a credentials holder, or the default credentials server of an onboarding, §I.9) sends MSK to the
//! AUSF there; its devices are configured for that (§I.2.2.2.2 step 0).
//!
//! The labels are what the draft suggests, provisional like [`TYPE`] until IANA has assigned them. Peer-Id and Server-Id are
//! ID_CRED_I and ID_CRED_R, which whoever verifies them has in hand:
//! [`Message3::claimed`](super::responder::Message3::claimed),
//! [`Message2::claimed`](super::initiator::Message2::claimed).
//!
//! Not here: who may have which key. MSK goes to the authenticator; EMSK stays at home (RFC 5295 §2), and of it only
//! K_AUSF is used in 5G.

use crate::{
    aka::keys::KAusf,
    crypto::{Crypto, Secret},
    edhoc::{Session, token},
    error::Backend,
    framing::eap::TYPE,
    wire::encode,
};

/// Label of MSK.
const MSK: u16 = 26;

/// Label of EMSK.
const EMSK: u16 = 27;

/// Label of Method-Id.
const METHOD_ID: u16 = 28;

/// The keys that EAP exports, and the name of the session that they are of.
#[derive(Debug)]
pub struct EapKeys {
    msk: Secret<64>,
    emsk: Secret<64>,
    session_id: [u8; 65],
}

impl EapKeys {
    /// MSK, 64 bytes, for the access network.
    pub const fn msk(&self) -> &Secret<64> {
        &self.msk
    }

    /// EMSK, 64 bytes, which stays at home.
    pub const fn emsk(&self) -> &Secret<64> {
        &self.emsk
    }

    /// Session-Id, 65 bytes; not secret.
    pub const fn session_id(&self) -> &[u8; 65] {
        &self.session_id
    }

    /// K_AUSF where the EAP server is the AUSF (TS 33.501 §I.2.3.1).
    ///
    /// # Errors
    /// None in practice: EMSK is long enough.
    pub fn k_ausf(&self) -> Result<KAusf, Backend> {
        first_half(&self.emsk)
    }

    /// K_AUSF where the EAP server is an AAA server behind the AUSF (TS 33.501 §I.2.2.2.2 step 14): the AUSF makes it of
    /// MSK, and so has a device that is configured for such a network.
    ///
    /// # Errors
    /// None in practice: MSK is long enough.
    pub fn k_ausf_from_msk(&self) -> Result<KAusf, Backend> {
        first_half(&self.msk)
    }
}

token::portable! { EapKeys { msk, emsk, session_id } }

/// The most significant 256 bits.
fn first_half(key: &Secret<64>) -> Result<KAusf, Backend> {
    let (half, _) = key.bytes().split_at(32);
    KAusf::from_slice(half)
}

impl Session {
    /// The keys of EAP-EDHOC, on both sides. A device has no session before message_4, and so no keys before it has the
    /// protected success indication (§3.5).
    ///
    /// # Errors
    /// [`Backend::Crypto`].
    pub fn eap_keys(&self, crypto: &dyn Crypto) -> Result<EapKeys, Backend> {
        let context = encode(&TYPE);
        let export = |label| {
            let mut out = Secret::zeroed();
            self.export(label, &context, out.bytes_mut(), crypto)?;
            Ok(out)
        };
        let (msk, emsk, method_id) = (export(MSK)?, export(EMSK)?, export(METHOD_ID)?);
        let mut session_id = [TYPE; 65];
        let (_, rest) = session_id.split_at_mut(1);
        rest.copy_from_slice(method_id.bytes());
        Ok(EapKeys { msk, emsk, session_id })
    }
}
