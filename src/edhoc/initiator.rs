//! The initiator's steps, in the order in which they happen (RFC 9528 §5).

use alloc::vec::Vec;

use crate::{
    crypto::{Crypto, EphemeralKey, Hash, Rng},
    edhoc::{
        ConnectionId, Ead, EadItem, Method, OwnCredential, Proof, Session, Suite, check_not_own, check_usage,
        message::{self, MAX_SUITES, Plaintext},
        schedule::{self, Label, MessageCipher, Prk},
        shared_secret,
    },
    error::{Error, Misbehaved, Misuse},
    store::KeyStore,
    trust::{CredentialId, Peer, Verified},
    wire,
};

/// What the initiator proposes in message_1.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// Who authenticates how.
    pub method: Method,
    /// Suites in falling preference. The last one is the selected one; those before it are what this side would have
    /// preferred, and are named so that nobody can talk it down unnoticed (§6.3.2).
    pub suites: &'a [Suite],
    /// C_I: how this side wants to be called.
    pub c_i: &'a ConnectionId,
    /// EAD_1, in clear.
    pub ead_1: &'a [EadItem<'a>],
}

/// Makes message_1.
///
/// # Errors
/// [`Misuse`] for no suite or more than eight, or EAD items beyond the longest message; a
/// [`Backend`](crate::error::Backend) failure.
pub fn start(
    proposal: &Proposal<'_>,
    crypto: &dyn Crypto,
    rng: &mut dyn Rng,
) -> Result<(AwaitMessage2, Vec<u8>), Error> {
    let suite = *proposal.suites.last().ok_or(Misuse::Parameter("no cipher suite"))?;
    if proposal.suites.len() > MAX_SUITES {
        return Err(Misuse::Parameter("more than eight cipher suites").into());
    }
    let ephemeral = crypto.generate(suite.group, rng)?;
    let message_1 = message::sendable(
        message::Message1 {
            method: proposal.method.number(),
            suites: proposal.suites.iter().map(|suite| suite.number).collect(),
            g_x: ephemeral.public(),
            c_i: proposal.c_i.clone(),
            ead: &message::encode_ead(proposal.ead_1),
        }
        .encode(),
    )?;
    let h_message_1 = crypto.sha256(&[&message_1]);
    let c_i = proposal.c_i.clone();
    Ok((AwaitMessage2 { method: proposal.method, suite, ephemeral, c_i, h_message_1 }, message_1))
}

/// message_1 is out.
#[derive(Debug)]
pub struct AwaitMessage2 {
    method: Method,
    suite: Suite,
    ephemeral: EphemeralKey,
    c_i: ConnectionId,
    h_message_1: Hash,
}

impl AwaitMessage2 {
    /// Reads message_2. What comes out is decoded, not believed.
    ///
    /// # Errors
    /// [`Malformed`](crate::error::Malformed) or [`Misbehaved`]; the session is over.
    pub fn read(self, message_2: &[u8], crypto: &dyn Crypto) -> Result<Message2, Error> {
        let (g_y, ciphertext_2) = message::read_message_2(message_2, self.suite.g_y_len)?;
        if g_y == self.ephemeral.public() {
            return Err(Misbehaved::Reflection.into());
        }
        let mut g_xy = shared_secret();
        crypto.decapsulate(&self.ephemeral, g_y, &mut g_xy)?;
        let th_2 = schedule::th_2(g_y, &self.h_message_1, crypto);
        let prk_2e = schedule::prk_2e(&th_2, &g_xy, crypto);
        let mut plaintext_2 = ciphertext_2.to_vec();
        schedule::xor_keystream_2(&prk_2e, &th_2, &mut plaintext_2, crypto)?;
        let (c_r, plaintext) = Plaintext::read_2(plaintext_2)?;
        if c_r == self.c_i {
            return Err(Misbehaved::SameConnectionId.into());
        }
        Ok(Message2 { sent: self, g_y: g_y.to_vec(), th_2, prk_2e, c_r, plaintext })
    }
}

/// message_2 is decoded, not believed.
#[derive(Debug)]
pub struct Message2 {
    sent: AwaitMessage2,
    g_y: Vec<u8>,
    th_2: Hash,
    prk_2e: Prk,
    c_r: ConnectionId,
    plaintext: Plaintext,
}

impl Message2 {
    /// ID_CRED_R: who the responder says it is.
    ///
    /// # Errors
    /// None in practice: it was parsed before.
    pub fn claimed(&self) -> Result<CredentialId<'_>, Error> {
        Ok(wire::decode(&self.plaintext.id_cred)?)
    }

    /// EAD_2, not authenticated yet: for finding the credential, not for acting on.
    pub const fn unverified_ead(&mut self) -> &mut Ead {
        &mut self.plaintext.ead
    }

    /// Checks Signature_or_MAC_2 under the verified credential (§5.3.3). From here on the responder is who it says.
    ///
    /// # Errors
    /// [`Untrusted`](crate::error::Untrusted) or [`Misbehaved::OwnCredential`]; the session is over.
    pub fn accept(
        self,
        peer: Verified<Peer>,
        own: &OwnCredential,
        crypto: &dyn Crypto,
    ) -> Result<Message2Accepted, Error> {
        let signs = self.sent.method.responder_signs();
        check_not_own(&peer, own)?;
        check_usage(&peer, signs)?;
        let prk_3e2m = if signs {
            self.prk_2e
        } else {
            let mut g_rx = shared_secret();
            crypto.agree(&self.sent.ephemeral, peer.public_key(), &mut g_rx)?;
            schedule::mix_static(&self.prk_2e, Label::Salt3e2m, &self.th_2, &g_rx, crypto)?
        };
        Proof {
            prk: &prk_3e2m,
            label: Label::Mac2,
            th: &self.th_2,
            ead: self.plaintext.ead.bytes(),
            signs,
            mac_len: self.sent.suite.mac_len,
        }
        .check(&peer, &self.plaintext.id_cred, Some(&self.c_r), &self.plaintext.proof, crypto)?;
        let th_3 = schedule::th_next(&self.th_2, &self.plaintext.bytes, peer.credential(), crypto);
        let (method, suite) = (self.sent.method, self.sent.suite);
        Ok(Message2Accepted { method, suite, g_y: self.g_y, th_3, prk_3e2m, peer, ead: self.plaintext.ead })
    }
}

/// The responder is authenticated; message_3 can be made.
#[derive(Debug)]
pub struct Message2Accepted {
    method: Method,
    suite: Suite,
    g_y: Vec<u8>,
    th_3: Hash,
    prk_3e2m: Prk,
    peer: Verified<Peer>,
    ead: Ead,
}

impl Message2Accepted {
    /// The responder.
    pub const fn peer(&self) -> &Verified<Peer> {
        &self.peer
    }

    /// EAD_2, authenticated.
    pub const fn ead(&mut self) -> &mut Ead {
        &mut self.ead
    }

    /// TH_3, for evidence that is to be bound to this session.
    pub const fn th_3(&self) -> &Hash {
        &self.th_3
    }

    /// Makes message_3.
    ///
    /// # Errors
    /// [`Misbehaved::CriticalEad`] if a critical item of EAD_2 was not taken; [`Misbehaved::OwnCredential`]; [`Misuse`]
    /// for more than the longest message; a failure of the key store.
    pub fn write(
        self,
        own: &OwnCredential,
        ead_3: &[EadItem<'_>],
        keys: &dyn KeyStore,
        crypto: &dyn Crypto,
    ) -> Result<(AwaitMessage4, Vec<u8>), Error> {
        self.ead.end()?;
        check_not_own(&self.peer, own)?;
        let signs = self.method.initiator_signs();
        let cipher = MessageCipher::new(self.suite, &self.prk_3e2m, (Label::K3, Label::Iv3), &self.th_3, crypto)?;
        let prk_4e3m = if signs {
            self.prk_3e2m
        } else {
            let mut g_iy = shared_secret();
            keys.agree(own.key, &crypto.point(&self.g_y)?, &mut g_iy)?;
            schedule::mix_static(&self.prk_3e2m, Label::Salt4e3m, &self.th_3, &g_iy, crypto)?
        };
        let ead = message::encode_ead(ead_3);
        let proof =
            Proof { prk: &prk_4e3m, label: Label::Mac3, th: &self.th_3, ead: &ead, signs, mac_len: self.suite.mac_len };
        let proof = own.prove(&proof, None, keys, crypto)?;
        let plaintext_3 = message::encode_plaintext(None, &own.id, &proof, &ead);
        let message_3 = message::sendable(cipher.seal(&plaintext_3, crypto)?)?;
        let th_4 = schedule::th_next(&self.th_3, &plaintext_3, &own.credential, crypto);
        let cipher = MessageCipher::new(self.suite, &prk_4e3m, (Label::K4, Label::Iv4), &th_4, crypto)?;
        let session = Session::new(self.peer, &prk_4e3m, th_4, crypto)?;
        Ok((AwaitMessage4 { session, cipher }, message_3))
    }
}

/// message_3 is out.
pub struct AwaitMessage4 {
    session: Session,
    cipher: MessageCipher,
}

impl core::fmt::Debug for AwaitMessage4 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AwaitMessage4").field("session", &self.session).finish_non_exhaustive()
    }
}

impl AwaitMessage4 {
    /// Reads message_4 (§5.5.3): the responder has our identity and the same keys.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`](crate::error::Untrusted::Authentication); the session is over.
    pub fn read(self, message_4: &[u8], crypto: &dyn Crypto) -> Result<Message4, Error> {
        let plaintext_4 = self.cipher.open(message_4, crypto)?;
        Ok(Message4 { session: self.session, ead: Ead::read(&plaintext_4)? })
    }
}

/// message_4 has come.
#[derive(Debug)]
pub struct Message4 {
    session: Session,
    ead: Ead,
}

impl Message4 {
    /// EAD_4, authenticated.
    pub const fn ead(&mut self) -> &mut Ead {
        &mut self.ead
    }

    /// The completed session.
    ///
    /// # Errors
    /// [`Misbehaved::CriticalEad`] if a critical item of EAD_4 was not taken.
    pub fn complete(self) -> Result<Session, Error> {
        self.ead.end()?;
        Ok(self.session)
    }
}
