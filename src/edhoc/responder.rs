//! The responder's steps, in the order in which they happen (RFC 9528 §5).

use alloc::vec::Vec;

use crate::{
    crypto::{Crypto, EphemeralKey, Hash, PublicKey, Rng, SIGNATURE_LEN, Secret},
    edhoc::{
        ConnectionId, Ead, EadItem, Method, Opened, OwnCredential, Proof, Seal, Session, Stopped, Suite, check_not_own,
        check_usage, find,
        message::{self, Draft, Plaintext},
        schedule::{self, Label, MESSAGE_ROOM, MessageCipher, Prk},
        session::{Names, SessionKeys},
        shared_secret,
        token::{self, Kind, Portable},
    },
    error::{Error, Misbehaved},
    store::KeyStore,
    trust::{Candidates, CredentialId, Date, Peer},
    wire,
};

/// Reads message_1. `methods` and `suites` are what this side runs; suites in any order.
///
/// # Errors
/// [`Malformed`](crate::error::Malformed); [`Misbehaved::UnsupportedMethod`]; [`Misbehaved::WrongSuite`], to be answered
/// with [`error_message`](crate::edhoc::error_message), which names `suites`.
pub fn read(message_1: &[u8], methods: &[Method], suites: &[Suite], crypto: &dyn Crypto) -> Result<Message1, Error> {
    // All of it, before anything in it is judged (§5.2.3).
    let read = message::Message1::read(message_1)?;
    let ead = Ead::read(read.ead.to_vec())?;
    let method = Method::from_number(read.method)
        .filter(|method| methods.contains(method))
        .ok_or(Misbehaved::UnsupportedMethod)?;
    // §5.2.3: the selected suite must be the first of the initiator's suites that this side supports.
    let supported = |number: &i64| suites.iter().find(|suite| suite.number == *number);
    let suite = *read.suites.iter().find_map(supported).ok_or(Misbehaved::WrongSuite)?;
    if read.suites.last() != Some(&suite.number) {
        return Err(Misbehaved::WrongSuite.into());
    }
    let h_message_1 = crypto.sha256(&[message_1]);
    Ok(Message1 {
        method,
        suite,
        g_x: read.g_x.to_vec(),
        c_i: read.c_i,
        h_message_1,
        ead,
        exchange: None,
        ephemeral: None,
    })
}

/// message_1 is decoded. Nobody has authenticated it, and no key has been made for it.
#[derive(Debug)]
pub struct Message1 {
    method: Method,
    suite: Suite,
    g_x: Vec<u8>,
    c_i: ConnectionId,
    h_message_1: Hash,
    ead: Ead,
    /// From a first attempt to write: a key store that is asked again is asked the same.
    exchange: Option<Exchange>,
    /// From an attempt that did not get as far.
    ephemeral: Option<EphemeralKey>,
}

/// The ephemeral exchange, done.
#[derive(Debug)]
struct Exchange {
    ephemeral: EphemeralKey,
    g_xy: Prk,
    /// Where a static key will meet G_X again: decompressed once.
    g_x_point: Option<PublicKey>,
}

impl Message1 {
    /// EAD_1, in clear and unauthenticated.
    pub const fn unverified_ead(&mut self) -> &mut Ead {
        &mut self.ead
    }

    /// C_I: how the initiator wants to be called.
    pub const fn c_i(&self) -> &ConnectionId {
        &self.c_i
    }

    /// Bytes of PLAINTEXT_2 with these items, for choosing a padding (§3.8.1).
    pub fn plaintext_2_len(&self, c_r: &ConnectionId, own: &OwnCredential, ead_2: &[EadItem<'_>]) -> usize {
        let proof_len = if self.method.responder_signs() { SIGNATURE_LEN } else { self.suite.mac_len };
        message::plaintext_len(Some(c_r), &own.id, proof_len, ead_2)
    }

    /// Makes message_2. `c_r` is how this side wants to be called; it must differ from C_I.
    ///
    /// # Errors
    /// [`Misbehaved::CriticalEad`] if a critical item of EAD_1 was not taken; [`Misbehaved::InvalidPoint`] for a bad
    /// G_X; [`Misbehaved::SameConnectionId`]; [`Misuse`](crate::error::Misuse) for more than the longest message; a
    /// failure of the key store or the random source. The ephemeral key is made once: a call that is repeated asks the key
    /// store for the same signature, if its other arguments are the same.
    pub fn write(
        mut self,
        c_r: &ConnectionId,
        own: &OwnCredential,
        ead_2: &[EadItem<'_>],
        keys: &dyn KeyStore,
        crypto: &dyn Crypto,
        rng: &mut dyn Rng,
    ) -> Result<(AwaitMessage3, Vec<u8>), Stopped<Self>> {
        let exchange = match self.exchange(c_r, crypto, rng) {
            Ok(exchange) => exchange,
            Err(error) => return Err(Stopped::new(error, self)),
        };
        match self.make(&exchange, c_r, own, ead_2, keys, crypto) {
            Ok((th_3, prk_3e2m, message_2)) => {
                let names = Names { suite: self.suite, own: c_r.clone(), peer: self.c_i };
                let ephemeral = exchange.ephemeral;
                Ok((AwaitMessage3 { method: self.method, names, ephemeral, th_3, prk_3e2m }, message_2))
            }
            Err(error) => {
                self.exchange = Some(exchange);
                Err(Stopped::new(error, self))
            }
        }
    }

    fn exchange(&mut self, c_r: &ConnectionId, crypto: &dyn Crypto, rng: &mut dyn Rng) -> Result<Exchange, Error> {
        self.ead.end()?;
        if *c_r == self.c_i {
            return Err(Misbehaved::SameConnectionId.into());
        }
        if let Some(exchange) = self.exchange.take() {
            return Ok(exchange);
        }
        let mut g_xy = shared_secret();
        if self.method.responder_signs() {
            let ephemeral = crypto.encapsulate(self.suite.group, &self.g_x, rng, &mut g_xy)?;
            return Ok(Exchange { ephemeral, g_xy, g_x_point: None });
        }
        // A static key is of a Diffie-Hellman group: G_X and G_Y have one form, which is not the other ones of a point.
        if self.g_x.len() != self.suite.g_y_len {
            return Err(Misbehaved::InvalidPoint.into());
        }
        let g_x = crypto.read_key(self.suite.group.kind(), &self.g_x)?;
        let ephemeral = match self.ephemeral.take() {
            Some(ephemeral) => ephemeral,
            None => crypto.generate(self.suite.group, rng)?,
        };
        if let Err(error) = crypto.agree(&ephemeral, &g_x, &mut g_xy) {
            self.ephemeral = Some(ephemeral);
            return Err(error.into());
        }
        Ok(Exchange { ephemeral, g_xy, g_x_point: Some(g_x) })
    }

    /// TH_3, PRK_3e2m and message_2.
    fn make(
        &self,
        exchange: &Exchange,
        c_r: &ConnectionId,
        own: &OwnCredential,
        ead_2: &[EadItem<'_>],
        keys: &dyn KeyStore,
        crypto: &dyn Crypto,
    ) -> Result<(Hash, Prk, Vec<u8>), Error> {
        let Exchange { ephemeral, g_xy, g_x_point } = exchange;
        let th_2 = schedule::th_2(ephemeral.public(), &self.h_message_1, crypto);
        let prk_2e = schedule::prk_2e(&th_2, g_xy, crypto);
        let static_prk = match g_x_point {
            None => None,
            Some(g_x) => {
                let mut g_rx = shared_secret();
                keys.agree(own.key, g_x, &mut g_rx)?;
                Some(schedule::mix_static(&prk_2e, Label::Salt3e2m, &th_2, &g_rx, crypto)?)
            }
        };
        let prk_3e2m = static_prk.as_ref().unwrap_or(&prk_2e);
        let signs = self.method.responder_signs();
        let mut draft = Draft::new(Some(c_r), &own.id, self.suite.proof_len(signs), ead_2, 0);
        let (ead, mac_len) = (draft.ead(), self.suite.mac_len);
        let proof = Proof { prk: prk_3e2m, label: Label::Mac2, th: &th_2, ead, signs, mac_len };
        let proof = own.prove(&proof, Some(c_r), keys, crypto)?;
        draft.prove(&proof);
        let mut ciphertext_2 = message::sendable(draft.bytes().to_vec())?;
        schedule::xor_keystream_2(&prk_2e, &th_2, &mut ciphertext_2, crypto)?;
        let message_2 = message::sendable(message::encode_message_2(ephemeral.public(), &ciphertext_2))?;
        let th_3 = schedule::th_next(&th_2, draft.bytes(), &own.credential, crypto);
        Ok((th_3, static_prk.unwrap_or(prk_2e), message_2))
    }
}

/// message_2 is out.
#[derive(Debug)]
pub struct AwaitMessage3 {
    method: Method,
    names: Names,
    ephemeral: EphemeralKey,
    th_3: Hash,
    prk_3e2m: Prk,
}

impl AwaitMessage3 {
    /// Seals the session into a token (see [`Seal`]) for whoever gets message_3. About 250 bytes.
    ///
    /// # Errors
    /// [`Backend`](crate::error::Backend).
    pub fn seal(&self, seal: &Seal<'_>, crypto: &dyn Crypto, rng: &mut dyn Rng) -> Result<Vec<u8>, Error> {
        token::seal(Kind::AwaitMessage3, |w| self.save(w), seal, crypto, rng)
    }

    /// Opens a token of [`AwaitMessage3::seal`].
    ///
    /// # Errors
    /// [`Malformed`](crate::error::Malformed); [`Untrusted`](crate::error::Untrusted) if it was altered, sealed under another
    /// key or for something else, or has expired.
    pub fn open(token: &[u8], key: &Secret<32>, today: Date, crypto: &dyn Crypto) -> Result<Opened<Self>, Error> {
        token::open(Kind::AwaitMessage3, token, key, today, crypto, Self::load)
    }

    /// Reads message_3. What comes out is decoded, not believed.
    ///
    /// # Errors
    /// [`Untrusted::Authentication`](crate::error::Untrusted::Authentication) or
    /// [`Malformed`](crate::error::Malformed); the session is over.
    pub fn read(self, message_3: &[u8], crypto: &dyn Crypto) -> Result<Message3, Stopped<Self>> {
        match self.decrypt(message_3, crypto) {
            Ok(plaintext) => Ok(Message3 { sent: self, plaintext }),
            Err(error) => Err(Stopped::new(error, self)),
        }
    }

    fn decrypt(&self, message_3: &[u8], crypto: &dyn Crypto) -> Result<Plaintext, Error> {
        let labels = (Label::K3, Label::Iv3);
        let cipher = MessageCipher::new(self.names.suite, &self.prk_3e2m, labels, &self.th_3, crypto)?;
        Ok(Plaintext::read_3(cipher.open(message_3, crypto)?)?)
    }
}

/// message_3 is decoded, not believed: whoever ran the ephemeral exchange wrote it, and that may be anyone.
#[derive(Debug)]
pub struct Message3 {
    sent: AwaitMessage3,
    plaintext: Plaintext,
}

impl Message3 {
    /// ID_CRED_I: who the initiator says it is.
    ///
    /// # Errors
    /// None in practice: it was parsed before.
    pub fn claimed(&self) -> Result<CredentialId<'_>, Error> {
        Ok(wire::decode(&self.plaintext.id_cred)?)
    }

    /// EAD_3, not authenticated yet: for finding the credential, not for acting on.
    pub const fn unverified_ead(&mut self) -> &mut Ead {
        &mut self.plaintext.ead
    }

    /// Checks Signature_or_MAC_3 under the verified credential, or under each of several that go by the same `kid` (§5.4.3).
    /// From here on the initiator is who it says.
    ///
    /// # Errors
    /// [`Untrusted`](crate::error::Untrusted) or [`Misbehaved::OwnCredential`]; the session is over.
    pub fn accept(
        self,
        peer: impl Into<Candidates>,
        own: &OwnCredential,
        crypto: &dyn Crypto,
    ) -> Result<Message3Accepted, Stopped<Self>> {
        match find(peer.into(), |peer| self.check(peer, own, crypto)) {
            Ok((peer, (cipher, th_4, keys))) => {
                let Self { sent: AwaitMessage3 { names, th_3, .. }, plaintext } = self;
                Ok(Message3Accepted {
                    session: Session::new(peer, names, th_4, keys),
                    cipher,
                    th_3,
                    ead: plaintext.ead.alone(),
                })
            }
            Err(error) => Err(Stopped::new(error, self)),
        }
    }

    fn check(
        &self,
        peer: &Peer,
        own: &OwnCredential,
        crypto: &dyn Crypto,
    ) -> Result<(MessageCipher, Hash, SessionKeys), Error> {
        let Self { sent: AwaitMessage3 { names: Names { suite, .. }, ephemeral, th_3, prk_3e2m, .. }, plaintext } =
            self;
        let signs = self.sent.method.initiator_signs();
        check_not_own(peer, own)?;
        check_usage(peer, signs, *suite)?;
        let static_prk = if signs {
            None
        } else {
            let mut g_iy = shared_secret();
            crypto.agree(ephemeral, peer.public_key(), &mut g_iy)?;
            Some(schedule::mix_static(prk_3e2m, Label::Salt4e3m, th_3, &g_iy, crypto)?)
        };
        let prk_4e3m = static_prk.as_ref().unwrap_or(prk_3e2m);
        Proof {
            prk: prk_4e3m,
            label: Label::Mac3,
            th: th_3,
            ead: plaintext.ead.bytes(),
            signs,
            mac_len: suite.mac_len,
        }
        .check(peer, &plaintext.id_cred, None, &plaintext.proof, crypto)?;
        let th_4 = schedule::th_next(th_3, plaintext.bytes(), peer.credential(), crypto);
        let cipher = MessageCipher::new(*suite, prk_4e3m, (Label::K4, Label::Iv4), &th_4, crypto)?;
        Ok((cipher, th_4, SessionKeys::new(prk_4e3m, &th_4, crypto)?))
    }
}

/// The initiator is authenticated; message_4 can be made.
pub struct Message3Accepted {
    session: Session,
    cipher: MessageCipher,
    th_3: Hash,
    ead: Ead,
}

impl core::fmt::Debug for Message3Accepted {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Message3Accepted").field("session", &self.session).finish_non_exhaustive()
    }
}

impl Message3Accepted {
    /// Seals the session into a token (see [`Seal`]) while the answer is being thought about: the peer's credential and what
    /// of EAD_3 was not taken, and about 400 bytes.
    ///
    /// # Errors
    /// [`Backend`](crate::error::Backend).
    pub fn seal(&self, seal: &Seal<'_>, crypto: &dyn Crypto, rng: &mut dyn Rng) -> Result<Vec<u8>, Error> {
        token::seal(Kind::Message3Accepted, |w| self.save(w), seal, crypto, rng)
    }

    /// Opens a token of [`Message3Accepted::seal`].
    ///
    /// # Errors
    /// [`Malformed`](crate::error::Malformed); [`Untrusted`](crate::error::Untrusted) if it was altered, sealed under another
    /// key or for something else, or has expired.
    pub fn open(token: &[u8], key: &Secret<32>, today: Date, crypto: &dyn Crypto) -> Result<Opened<Self>, Error> {
        token::open(Kind::Message3Accepted, token, key, today, crypto, Self::load)
    }

    /// EAD_3, authenticated.
    pub const fn ead(&mut self) -> &mut Ead {
        &mut self.ead
    }

    /// TH_3, for evidence that is bound to this session.
    pub const fn th_3(&self) -> &Hash {
        &self.th_3
    }

    /// The session: its keys are ready before message_4 is, because EAD_4 may be sealed under them.
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Bytes of PLAINTEXT_4 with these items, for choosing a padding (§3.8.1).
    pub fn plaintext_4_len(&self, ead_4: &[EadItem<'_>]) -> usize {
        message::ead_len(ead_4)
    }

    /// Makes message_4.
    ///
    /// # Errors
    /// [`Misbehaved::CriticalEad`] if a critical item of EAD_3 was not taken; [`Misuse`](crate::error::Misuse) for EAD
    /// items beyond the longest message.
    pub fn write(self, ead_4: &[EadItem<'_>], crypto: &dyn Crypto) -> Result<(Session, Vec<u8>), Stopped<Self>> {
        match self.make(ead_4, crypto) {
            Ok(message_4) => Ok((self.session, message_4)),
            Err(error) => Err(Stopped::new(error, self)),
        }
    }

    fn make(&self, ead_4: &[EadItem<'_>], crypto: &dyn Crypto) -> Result<Vec<u8>, Error> {
        self.ead.end()?;
        let mut message_4 = message::encode_ead(ead_4, MESSAGE_ROOM);
        self.cipher.seal(&mut message_4, crypto)?;
        Ok(message::sendable(message_4)?)
    }
}

token::portable! {
    Message1 { method, suite, g_x, c_i, h_message_1, ead, exchange, ephemeral }
    Exchange { ephemeral, g_xy, g_x_point }
    AwaitMessage3 { method, names, ephemeral, th_3, prk_3e2m }
    Message3Accepted { session, cipher, th_3, ead }
}
