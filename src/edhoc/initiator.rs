//! The initiator's steps, in the order in which they happen (RFC 9528 §5).

use alloc::{boxed::Box, vec::Vec};

use crate::{
    crypto::{Crypto, EphemeralKey, Hash, PublicKey, Rng},
    edhoc::{
        ConnectionId, Ead, EadItem, Method, OwnCredential, Proof, Session, Stopped, Suite, check_not_own, check_usage,
        find,
        message::{self, Draft, MAX_SUITES, Plaintext},
        schedule::{self, Label, MESSAGE_ROOM, MessageCipher, Prk},
        session::{Names, SessionKeys},
        shared_secret,
    },
    error::{Error, Misbehaved, Misuse},
    store::KeyStore,
    trust::{Candidates, CredentialId, Peer, Verified},
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

/// What to propose after an error message with code 2: the suites up to the one of `supported` that comes first and is in
/// `suites_r` (RFC 9528 §6.3.1). `supported` is all that this side runs, in falling preference, `proposed` what it said last.
/// `None` if there is no such suite, or if it is the one just refused: then the two have nothing in common, or somebody
/// plays with them. Make a new message_1 of it; the list in there shows the responder whether somebody has cut it short.
pub fn propose_again<'a>(supported: &'a [Suite], proposed: &[Suite], suites_r: &[Suite]) -> Option<&'a [Suite]> {
    let last = supported.iter().position(|suite| suites_r.contains(suite))?;
    let proposal = supported.get(..=last)?;
    (proposal.last() != proposed.last()).then_some(proposal)
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
            ead: &message::encode_ead(proposal.ead_1, 0),
        }
        .encode(),
    )?;
    let h_message_1 = crypto.sha256(&[&message_1]);
    let c_i = proposal.c_i.clone();
    Ok((AwaitMessage2(Box::new(Sent { method: proposal.method, suite, ephemeral, c_i, h_message_1 })), message_1))
}

/// message_1 is out.
#[derive(Debug)]
pub struct AwaitMessage2(Box<Sent>);

#[derive(Debug)]
struct Sent {
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
    pub fn read(self, message_2: &[u8], crypto: &dyn Crypto) -> Result<Message2, Stopped<Self>> {
        match self.0.decrypt(message_2, crypto) {
            Ok(decrypted) => Ok(Message2 { sent: self.0, decrypted }),
            Err(error) => Err(Stopped::new(error, self)),
        }
    }
}

impl Sent {
    #[inline(never)]
    fn decrypt(&self, message_2: &[u8], crypto: &dyn Crypto) -> Result<Box<Decrypted>, Error> {
        let (g_y, ciphertext_2) = message::read_message_2(message_2, self.suite.g_y_len)?;
        if g_y == self.ephemeral.public() {
            return Err(Misbehaved::Reflection.into());
        }
        let mut g_xy = shared_secret();
        // A static key will meet G_Y again: as a point, so that it is decompressed once.
        let g_y_point = if self.method.initiator_signs() {
            crypto.decapsulate(&self.ephemeral, g_y, &mut g_xy)?;
            None
        } else {
            let point = crypto.read_key(self.suite.group.kind(), g_y)?;
            crypto.agree(&self.ephemeral, &point, &mut g_xy)?;
            Some(point)
        };
        let th_2 = schedule::th_2(g_y, &self.h_message_1, crypto);
        let prk_2e = schedule::prk_2e(&th_2, &g_xy, crypto);
        let mut plaintext_2 = ciphertext_2.to_vec();
        schedule::xor_keystream_2(&prk_2e, &th_2, &mut plaintext_2, crypto)?;
        let (c_r, plaintext) = Plaintext::read_2(plaintext_2)?;
        if c_r == self.c_i {
            return Err(Misbehaved::SameConnectionId.into());
        }
        Ok(Box::new(Decrypted { g_y_point, th_2, prk_2e, c_r, plaintext }))
    }
}

/// message_2 is decoded, not believed.
#[derive(Debug)]
pub struct Message2 {
    sent: Box<Sent>,
    decrypted: Box<Decrypted>,
}

#[derive(Debug)]
struct Decrypted {
    g_y_point: Option<PublicKey>,
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
        Ok(wire::decode(&self.decrypted.plaintext.id_cred)?)
    }

    /// EAD_2, not authenticated yet: for finding the credential, not for acting on.
    pub const fn unverified_ead(&mut self) -> &mut Ead {
        &mut self.decrypted.plaintext.ead
    }

    /// Checks Signature_or_MAC_2 under the verified credential, or under each of several that go by the same `kid` (§5.3.3).
    /// From here on the responder is who it says.
    ///
    /// # Errors
    /// [`Untrusted`](crate::error::Untrusted) or [`Misbehaved::OwnCredential`]; the session is over.
    pub fn accept(
        self,
        peer: impl Into<Candidates>,
        own: &OwnCredential,
        crypto: &dyn Crypto,
    ) -> Result<Message2Accepted, Stopped<Self>> {
        match find(peer.into(), |peer| self.check(peer, own, crypto)) {
            Ok((peer, (static_prk, th_3))) => {
                let (sent, decrypted) = (*self.sent, *self.decrypted);
                Ok(Message2Accepted(Box::new(Accepted {
                    method: sent.method,
                    names: Names { suite: sent.suite, own: sent.c_i, peer: decrypted.c_r },
                    g_y_point: decrypted.g_y_point,
                    th_3,
                    prk_3e2m: static_prk.unwrap_or(decrypted.prk_2e),
                    peer,
                    ead: decrypted.plaintext.ead,
                })))
            }
            Err(error) => Err(Stopped::new(error, self)),
        }
    }

    /// PRK_3e2m where it is not PRK_2e, and TH_3.
    #[inline(never)]
    fn check(&self, peer: &Peer, own: &OwnCredential, crypto: &dyn Crypto) -> Result<(Option<Prk>, Hash), Error> {
        let Decrypted { th_2, prk_2e, c_r, plaintext, .. } = &*self.decrypted;
        let sent = &self.sent;
        let signs = sent.method.responder_signs();
        check_not_own(peer, own)?;
        check_usage(peer, signs, sent.suite)?;
        let static_prk = if signs {
            None
        } else {
            let mut g_rx = shared_secret();
            crypto.agree(&sent.ephemeral, peer.public_key(), &mut g_rx)?;
            Some(schedule::mix_static(prk_2e, Label::Salt3e2m, th_2, &g_rx, crypto)?)
        };
        Proof {
            prk: static_prk.as_ref().unwrap_or(prk_2e),
            label: Label::Mac2,
            th: th_2,
            ead: plaintext.ead.bytes(),
            signs,
            mac_len: sent.suite.mac_len,
        }
        .check(peer, &plaintext.id_cred, Some(c_r), &plaintext.proof, crypto)?;
        Ok((static_prk, schedule::th_next(th_2, plaintext.bytes(), peer.credential(), crypto)))
    }
}

/// The responder is authenticated; message_3 can be made.
#[derive(Debug)]
pub struct Message2Accepted(Box<Accepted>);

#[derive(Debug)]
struct Accepted {
    method: Method,
    names: Names,
    g_y_point: Option<PublicKey>,
    th_3: Hash,
    prk_3e2m: Prk,
    peer: Verified<Peer>,
    ead: Ead,
}

impl Message2Accepted {
    /// The responder.
    pub const fn peer(&self) -> &Verified<Peer> {
        &self.0.peer
    }

    /// EAD_2, authenticated.
    pub const fn ead(&mut self) -> &mut Ead {
        &mut self.0.ead
    }

    /// TH_3, for evidence that is to be bound to this session.
    pub const fn th_3(&self) -> &Hash {
        &self.0.th_3
    }

    /// Bytes of PLAINTEXT_3 with these items, for choosing a padding (§3.8.1).
    pub fn plaintext_3_len(&self, own: &OwnCredential, ead_3: &[EadItem<'_>]) -> usize {
        let proof_len = self.0.names.suite.proof_len(self.0.method.initiator_signs());
        message::plaintext_len(None, &own.id, proof_len, ead_3)
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
    ) -> Result<(AwaitMessage4, Vec<u8>), Stopped<Self>> {
        let mut draft = self.draft(own, ead_3);
        self.write_draft(&mut draft, own, keys, crypto)
    }

    /// PLAINTEXT_3 with these items, for [`Message2Accepted::write_draft`].
    pub(crate) fn draft(&self, own: &OwnCredential, ead_3: &[EadItem<'_>]) -> Draft {
        let Accepted { method, names, .. } = &*self.0;
        Draft::new(None, &own.id, names.suite.proof_len(method.initiator_signs()), ead_3, MESSAGE_ROOM)
    }

    /// Makes message_3 of a draft; where the step can be repeated, the draft is as it was.
    pub(crate) fn write_draft(
        self,
        draft: &mut Draft,
        own: &OwnCredential,
        keys: &dyn KeyStore,
        crypto: &dyn Crypto,
    ) -> Result<(AwaitMessage4, Vec<u8>), Stopped<Self>> {
        match self.0.make(draft, own, keys, crypto) {
            Ok((cipher, th_4, keys, message_3)) => {
                let Accepted { peer, names, .. } = *self.0;
                let session = Session::new(peer, names, th_4, keys);
                Ok((AwaitMessage4(Box::new(Finishing { session, cipher })), message_3))
            }
            Err(error) => Err(Stopped::new(error, self)),
        }
    }
}

impl Accepted {
    #[inline(never)]
    fn make(
        &self,
        draft: &mut Draft,
        own: &OwnCredential,
        keys: &dyn KeyStore,
        crypto: &dyn Crypto,
    ) -> Result<(MessageCipher, Hash, SessionKeys, Vec<u8>), Error> {
        let Self { th_3, prk_3e2m, names: Names { suite, .. }, .. } = self;
        self.ead.end()?;
        check_not_own(&self.peer, own)?;
        let static_prk = match &self.g_y_point {
            None => None,
            Some(g_y) => {
                let mut g_iy = shared_secret();
                keys.agree(own.key, g_y, &mut g_iy)?;
                Some(schedule::mix_static(prk_3e2m, Label::Salt4e3m, th_3, &g_iy, crypto)?)
            }
        };
        let prk_4e3m = static_prk.as_ref().unwrap_or(prk_3e2m);
        let signs = self.method.initiator_signs();
        let (ead, mac_len) = (draft.ead(), suite.mac_len);
        let proof = Proof { prk: prk_4e3m, label: Label::Mac3, th: th_3, ead, signs, mac_len };
        let proof = own.prove(&proof, None, keys, crypto)?;
        draft.prove(&proof);
        let th_4 = schedule::th_next(th_3, draft.bytes(), &own.credential, crypto);
        let cipher_4 = MessageCipher::new(*suite, prk_4e3m, (Label::K4, Label::Iv4), &th_4, crypto)?;
        let keys = SessionKeys::new(prk_4e3m, &th_4, crypto)?;
        // Last: up to here the step can be repeated with the draft as it is.
        message::check_sealable(draft.bytes(), suite.aead.tag_len())?;
        let cipher = MessageCipher::new(*suite, prk_3e2m, (Label::K3, Label::Iv3), th_3, crypto)?;
        cipher.seal(draft.buffer(), crypto)?;
        Ok((cipher_4, th_4, keys, core::mem::take(draft.buffer())))
    }
}

/// message_3 is out.
pub struct AwaitMessage4(Box<Finishing>);

struct Finishing {
    session: Session,
    cipher: MessageCipher,
}

impl core::fmt::Debug for AwaitMessage4 {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("AwaitMessage4").field("session", &self.0.session).finish_non_exhaustive()
    }
}

impl AwaitMessage4 {
    /// Reads message_4 (§5.5.3): the responder has our identity and the same keys.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`](crate::error::Untrusted::Authentication); the session is over.
    pub fn read(self, message_4: &[u8], crypto: &dyn Crypto) -> Result<Message4, Stopped<Self>> {
        let ead = self.0.cipher.open(message_4, crypto).and_then(|plaintext_4| Ok(Ead::read(plaintext_4)?));
        match ead {
            Ok(ead) => Ok(Message4 { session: self.0.session, ead }),
            Err(error) => Err(Stopped::new(error, self)),
        }
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
