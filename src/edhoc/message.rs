//! The bytes of the messages (RFC 9528 §5): what is on the wire, nothing about keys.

use alloc::vec::Vec;
use core::ops::Range;

use arrayvec::ArrayVec;

use crate::{
    crypto::SIGNATURE_LEN,
    edhoc::{ConnectionId, Method, Suite},
    error::{Error, Malformed, Misbehaved, Misuse, Refused, Told},
    trust::CredentialId,
    wire::{self, Kind, Raw, Reader, Wire, Writer},
};

/// EAD items per message. One more is refused, never dropped.
pub const MAX_EAD: usize = 8;

/// Cipher suites in SUITES_I.
pub(super) const MAX_SUITES: usize = 8;

/// The label of padding, which is skipped (RFC 9528 §3.8.1).
const PADDING: u32 = 0;

/// Suites of the table in one message.
pub type Suites = ArrayVec<Suite, { Suite::TABLE.len() }>;

/// The text of error code 1: one for all reasons, so that the answer is no oracle.
const UNSPECIFIED: &str = "not accepted";

// ----------------------------------------------------------------------------------------------------- EAD items

/// An external authorization data item to send (RFC 9528 §3.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EadItem<'a> {
    /// The registered label, without its sign.
    pub label: u32,
    /// Whether a peer that does not know the label must stop.
    pub critical: bool,
    /// The value, if the item has one.
    pub value: Option<&'a [u8]>,
}

impl<'a> EadItem<'a> {
    /// Padding (RFC 9528 §3.8.1): hides how long the rest is, and in EAD_1 makes the first message no shorter than the
    /// second one. `random` is of the caller's making; the item is one byte for the label longer, and one to three for the
    /// length. Put several where one does not come out even.
    pub const fn padding(random: &'a [u8]) -> Self {
        Self { label: PADDING, critical: false, value: Some(random) }
    }
}

/// The EAD field, in a buffer with `room` bytes more.
pub(super) fn encode_ead(items: &[EadItem<'_>], room: usize) -> Vec<u8> {
    wire::encode_with_room(room, |w| write_ead(items, w))
}

/// How long the EAD field is with these items.
pub(super) fn ead_len(items: &[EadItem<'_>]) -> usize {
    wire::len_of(|w| write_ead(items, w))
}

fn write_ead(items: &[EadItem<'_>], w: &mut Writer<'_>) {
    for item in items {
        let label = i64::from(item.label);
        w.integer(if item.critical { label.saturating_neg() } else { label });
        if let Some(value) = item.value {
            w.bytes(value);
        }
    }
}

/// The EAD items of a received message. Critical ones must be taken before the next message can be made.
pub struct Ead {
    /// What the field is the end of.
    message: Vec<u8>,
    /// Where it starts.
    start: usize,
    /// Which of the items, padding not counted, have been taken: a bit for each, the first one the lowest.
    taken: u8,
}

const _: () = assert!(MAX_EAD <= 8, "a bit for each item");

/// Tells how much there is and nothing of what it is: EAD_2 to EAD_4 come encrypted.
impl core::fmt::Debug for Ead {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Ead({} bytes, {} items waiting)", self.bytes().len(), waiting(self.bytes(), self.taken).count())
    }
}

/// An item in the EAD field.
struct Item<'a> {
    /// Its bit in [`Ead::taken`].
    bit: u8,
    /// Wider than any registered label, so that an item which no caller can know is ignored or refused like any other.
    label: u64,
    critical: bool,
    value: Option<&'a [u8]>,
}

/// An EAD item that was taken out of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakenEad<'a> {
    /// Whether the peer marked it critical.
    pub critical: bool,
    /// Its value.
    pub value: Option<&'a [u8]>,
}

/// The next item that is no padding, `number` items after the first; `None` at the end.
fn next_item<'a>(reader: &mut Reader<'a>, number: usize) -> Result<Option<Item<'a>>, Malformed> {
    while !reader.is_empty() {
        let label = reader.integer()?;
        let value = if !reader.is_empty() && reader.peek()? == Kind::Bytes { Some(reader.bytes()?) } else { None };
        if label.unsigned_abs() != u64::from(PADDING) {
            let bit = u32::try_from(number).ok().and_then(|number| 1_u8.checked_shl(number));
            let bit = bit.ok_or(Malformed::TooLong)?;
            return Ok(Some(Item { bit, label: label.unsigned_abs(), critical: label < 0, value }));
        }
    }
    Ok(None)
}

impl Ead {
    /// The last `len` bytes of a plaintext or of message_1, after its last fixed item.
    pub(super) fn at_the_end_of(message: Vec<u8>, len: usize) -> Result<Self, Malformed> {
        let ead = Self { start: message.len().saturating_sub(len), message, taken: 0 };
        let mut reader = Reader::new(ead.bytes())?;
        let mut number = 0_usize;
        while next_item(&mut reader, number)?.is_some() {
            number = number.saturating_add(1);
        }
        Ok(ead)
    }

    /// A field that is all there is.
    pub(super) fn read(field: Vec<u8>) -> Result<Self, Malformed> {
        let len = field.len();
        Self::at_the_end_of(field, len)
    }

    /// Without what came before it in the message, which may be long.
    pub(super) fn alone(self) -> Self {
        Self { message: self.bytes().to_vec(), start: 0, ..self }
    }

    /// Nothing more is wanted of it.
    ///
    /// # Errors
    /// As [`Ead::end`].
    pub(crate) fn close(&mut self) -> Result<(), Misbehaved> {
        self.end()?;
        *self = Self { message: Vec::new(), start: 0, taken: 0 };
        Ok(())
    }

    /// The encoded EAD field, as it enters the transcript.
    pub(super) fn bytes(&self) -> &[u8] {
        self.message.get(self.start..).unwrap_or_default()
    }

    /// Takes the first item with this label. A second one with the same label stays until it is taken too.
    pub fn take(&mut self, label: u32) -> Option<TakenEad<'_>> {
        let Self { message, start, taken } = self;
        let item = waiting(message.get(*start..)?, *taken).find(|item| item.label == u64::from(label))?;
        *taken |= item.bit;
        Some(TakenEad { critical: item.critical, value: item.value })
    }

    /// The items that nobody has taken, as they came.
    pub(super) fn write_waiting(&self, writer: &mut Writer<'_>) {
        for Item { label, critical, value, .. } in waiting(self.bytes(), self.taken) {
            let label = i64::try_from(label).unwrap_or(i64::MAX);
            writer.integer(if critical { label.saturating_neg() } else { label });
            if let Some(value) = value {
                writer.bytes(value);
            }
        }
    }

    /// RFC 9528 §3.8: a critical item that nobody knew ends the session.
    ///
    /// The steps that make the next message look again; ask earlier to act on nothing before.
    ///
    /// # Errors
    /// [`Misbehaved::CriticalEad`].
    pub fn end(&self) -> Result<(), Misbehaved> {
        if waiting(self.bytes(), self.taken).any(|item| item.critical) { Err(Misbehaved::CriticalEad) } else { Ok(()) }
    }
}

/// The items of a field that are not `taken`. The field was read before, so reading it again does not fail.
fn waiting(field: &[u8], taken: u8) -> impl Iterator<Item = Item<'_>> {
    let mut reader = Reader::new(field).ok();
    let items = (0..MAX_EAD).map_while(move |number| next_item(reader.as_mut()?, number).ok()?);
    items.filter(move |item| item.bit & taken == 0)
}

// ----------------------------------------------------------------------------------------------------- message_1

/// message_1 = ( METHOD : int, SUITES_I : suites, G_X : bstr, C_I : bstr / -24..23, ? EAD_1 )
pub(super) struct Message1<'a> {
    pub(super) method: i64,
    pub(super) suites: ArrayVec<i64, MAX_SUITES>,
    pub(super) g_x: &'a [u8],
    pub(super) c_i: ConnectionId,
    pub(super) ead: &'a [u8],
}

impl<'a> Message1<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        wire::encode_with(|w| {
            w.integer(self.method);
            write_suites(&self.suites, w);
            w.bytes(self.g_x);
            self.c_i.write_to(w);
            w.encoded(self.ead);
        })
    }

    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes)?;
        let method = reader.integer()?;
        let suites = read_suites(&mut reader)?;
        let g_x = reader.bytes()?;
        let c_i = ConnectionId::read_from(&mut reader)?;
        Ok(Self { method, suites, g_x, c_i, ead: reader.rest() })
    }
}

/// suites = [ 2* int ] / int: the last one is the selected one (RFC 9528 §5.2.1).
fn write_suites(suites: &[i64], writer: &mut Writer<'_>) {
    if let [only] = suites {
        writer.integer(*only);
    } else {
        writer.array(suites.len());
        suites.iter().for_each(|suite| writer.integer(*suite));
    }
}

fn read_suites(reader: &mut Reader<'_>) -> Result<ArrayVec<i64, MAX_SUITES>, Malformed> {
    if reader.peek()? != Kind::Array {
        return Ok(core::iter::once(reader.integer()?).collect());
    }
    let suites = ArrayVec::<i64, MAX_SUITES>::read(reader)?;
    // An array of one would encode as an int.
    if suites.len() < 2 { Err(Malformed::WrongLength) } else { Ok(suites) }
}

/// SUITES_R, as many as there are: a responder may name all that it runs (RFC 9528 §6.3). Those of the table come out, each
/// once; the order says nothing.
fn read_suites_r(reader: &mut Reader<'_>) -> Result<Suites, Malformed> {
    let len = if reader.peek()? == Kind::Array {
        match reader.array()? {
            0 | 1 => return Err(Malformed::WrongLength),
            len => len,
        }
    } else {
        1
    };
    let mut named = [false; Suite::TABLE.len()];
    for _ in 0..len {
        let number = reader.integer()?;
        for (named, suite) in named.iter_mut().zip(Suite::TABLE) {
            *named |= suite.number == number;
        }
    }
    Ok(Suite::TABLE.iter().zip(named).filter_map(|(suite, named)| named.then_some(*suite)).collect())
}

impl Method {
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::SignSign => 0,
            Self::SignStatic => 1,
            Self::StaticSign => 2,
            Self::StaticStatic => 3,
        }
    }

    pub(super) const fn from_number(number: i64) -> Option<Self> {
        match number {
            0 => Some(Self::SignSign),
            1 => Some(Self::SignStatic),
            2 => Some(Self::StaticSign),
            3 => Some(Self::StaticStatic),
            _ => None,
        }
    }
}

/// That what is sealed in `plaintext` is short enough, before it is.
pub(super) fn check_sealable(plaintext: &[u8], tag_len: usize) -> Result<(), Misuse> {
    /// The head of a byte string of that length.
    const HEAD_LEN: usize = 3;
    if plaintext.len().saturating_add(tag_len).saturating_add(HEAD_LEN) > wire::MAX_MESSAGE {
        return Err(TOO_LONG);
    }
    Ok(())
}

const TOO_LONG: Misuse = Misuse::Parameter("chain and EAD items do not fit into a message");

/// A message that is short enough for a peer that reads as this side does.
pub(super) fn sendable(message: Vec<u8>) -> Result<Vec<u8>, Misuse> {
    if message.len() > wire::MAX_MESSAGE {
        return Err(TOO_LONG);
    }
    Ok(message)
}

// ------------------------------------------------------------------------------------------ message_2 and message_3

/// message_2 = ( G_Y_CIPHERTEXT_2 : bstr ): G_Y ‖ CIPHERTEXT_2.
pub(super) fn encode_message_2(g_y: &[u8], ciphertext_2: &[u8]) -> Vec<u8> {
    wire::encode_with(|w| w.bytes(&[g_y, ciphertext_2].concat()))
}

/// G_Y (of `g_y_len` bytes) and CIPHERTEXT_2.
pub(super) fn read_message_2(message: &[u8], g_y_len: usize) -> Result<(&[u8], &[u8]), Malformed> {
    wire::decode::<&[u8]>(message)?.split_at_checked(g_y_len).ok_or(Malformed::Truncated)
}

/// §3.5.3.2: a map with only a `kid` is sent as the kid alone, by the rule of connection identifiers.
fn kid(id_cred: &[u8]) -> Option<&[u8]> {
    match wire::decode(id_cred) {
        Ok(CredentialId::Kid(kid)) => Some(kid),
        _ => None,
    }
}

fn write_names(c_r: Option<&ConnectionId>, id_cred: &[u8], kid: Option<&[u8]>, w: &mut Writer<'_>) {
    if let Some(c_r) = c_r {
        c_r.write_to(w);
    }
    match kid {
        Some(kid) => write_identifier(kid, w),
        None => w.encoded(id_cred),
    }
}

/// PLAINTEXT_2 = ( C_R, ID_CRED_R / bstr / -24..23, Signature_or_MAC_2 : bstr, ? EAD_2 ); PLAINTEXT_3 has no C_R.
///
/// In the making: the proof comes last, for it is over the EAD field too.
#[derive(Debug)]
pub(crate) struct Draft {
    bytes: Vec<u8>,
    /// Where the proof goes; after it there is the EAD field.
    proof: Range<usize>,
}

impl Draft {
    /// For a proof of this length, in a buffer with `room` bytes more.
    pub(super) fn new(
        c_r: Option<&ConnectionId>,
        id_cred: &[u8],
        proof_len: usize,
        ead: &[EadItem<'_>],
        room: usize,
    ) -> Self {
        let kid = kid(id_cred);
        let bytes = wire::encode_with_room(room, |w| write_plaintext(c_r, id_cred, kid, proof_len, ead, w));
        let end = bytes.len().saturating_sub(ead_len(ead));
        Self { bytes, proof: end.saturating_sub(proof_len)..end }
    }

    /// The EAD field.
    pub(super) fn ead(&self) -> &[u8] {
        self.bytes.get(self.proof.end..).unwrap_or_default()
    }

    /// Puts the proof in, in place of any that was there.
    pub(super) fn prove(&mut self, proof: &[u8]) {
        let place = self.bytes.iter_mut().skip(self.proof.start).take(self.proof.len());
        place.zip(proof).for_each(|(byte, new)| *byte = *new);
    }

    /// The plaintext.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The plaintext, to be made the message in its place.
    pub(super) const fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

fn write_plaintext(
    c_r: Option<&ConnectionId>,
    id_cred: &[u8],
    kid: Option<&[u8]>,
    proof_len: usize,
    ead: &[EadItem<'_>],
    w: &mut Writer<'_>,
) {
    write_names(c_r, id_cred, kid, w);
    // A signature is the longest proof.
    w.bytes([0; SIGNATURE_LEN].get(..proof_len).unwrap_or_default());
    write_ead(ead, w);
}

/// How long a plaintext is with a proof of this length.
pub(super) fn plaintext_len(
    c_r: Option<&ConnectionId>,
    id_cred: &[u8],
    proof_len: usize,
    ead: &[EadItem<'_>],
) -> usize {
    let kid = kid(id_cred);
    wire::len_of(|w| write_plaintext(c_r, id_cred, kid, proof_len, ead, w))
}

/// A decrypted plaintext, taken apart. Nothing in it is believed yet.
pub(super) struct Plaintext {
    /// ID_CRED_x in its full form, a map: what enters MACs and signatures.
    pub(super) id_cred: Vec<u8>,
    pub(super) proof: Vec<u8>,
    pub(super) ead: Ead,
}

impl core::fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Plaintext(..)")
    }
}

impl Plaintext {
    /// Reads PLAINTEXT_2, which begins with C_R.
    pub(super) fn read_2(bytes: Vec<u8>) -> Result<(ConnectionId, Self), Malformed> {
        let mut reader = Reader::new(&bytes)?;
        let c_r = ConnectionId::read_from(&mut reader)?;
        let (id_cred, proof, ead_len) = Self::read_fields(&mut reader)?;
        Ok((c_r, Self { id_cred, proof, ead: Ead::at_the_end_of(bytes, ead_len)? }))
    }

    /// Reads PLAINTEXT_3.
    pub(super) fn read_3(bytes: Vec<u8>) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&bytes)?;
        let (id_cred, proof, ead_len) = Self::read_fields(&mut reader)?;
        Ok(Self { id_cred, proof, ead: Ead::at_the_end_of(bytes, ead_len)? })
    }

    /// All of it, as it enters the transcript.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.ead.message
    }

    /// ID_CRED_x, the proof, and how long the EAD field is.
    fn read_fields(reader: &mut Reader<'_>) -> Result<(Vec<u8>, Vec<u8>, usize), Malformed> {
        let id_cred = if reader.peek()? == Kind::Map {
            match CredentialId::read(reader)? {
                CredentialId::Kid(_) => return Err(Malformed::WrongType),
                id => wire::encode(&id),
            }
        } else {
            wire::encode(&CredentialId::Kid(&read_identifier::<{ crate::trust::MAX_KID }>(reader)?))
        };
        let proof = reader.bytes()?.to_vec();
        Ok((id_cred, proof, reader.rest().len()))
    }
}

/// A byte string, or an int where its single byte is the encoding of one of -24..=23 (RFC 9528 §3.3.2).
pub(super) fn write_identifier(bytes: &[u8], writer: &mut Writer<'_>) {
    match bytes {
        [byte] if is_one_byte_int(*byte) => writer.encoded(bytes),
        _ => writer.bytes(bytes),
    }
}

/// The reverse, by the same rule: a byte string that should have been an int is refused.
pub(super) fn read_identifier<const N: usize>(reader: &mut Reader<'_>) -> Result<ArrayVec<u8, N>, Malformed> {
    let mut identifier = ArrayVec::new();
    if reader.peek()? == Kind::Bytes {
        let bytes = reader.bytes()?;
        if matches!(bytes, [byte] if is_one_byte_int(*byte)) {
            return Err(Malformed::NotShortest);
        }
        identifier.try_extend_from_slice(bytes).map_err(|_| Malformed::TooLong)?;
    } else {
        let encoded = reader.rest();
        if !(-24..=23).contains(&reader.integer()?) {
            return Err(Malformed::OutOfRange);
        }
        identifier.extend(encoded.first().copied());
    }
    Ok(identifier)
}

const fn is_one_byte_int(byte: u8) -> bool {
    matches!(byte, 0x00..=0x17 | 0x20..=0x37)
}

// --------------------------------------------------------------------------------------------------------- error

/// Whether these bytes are meant as an EDHOC error message where message_2, _3 or _4 (byte strings) is expected.
pub fn is_error_message(bytes: &[u8]) -> bool {
    Reader::new(bytes)
        .and_then(|reader| reader.peek())
        .is_ok_and(|kind| matches!(kind, Kind::Unsigned | Kind::Negative))
}

/// error = ( ERR_CODE : int, ERR_INFO : any ) for what went wrong here; `None` where nothing is to be sent.
pub fn error_message(error: &Error, suites_r: &[Suite]) -> Option<Vec<u8>> {
    let told = error.told();
    (told != Told::Nothing).then(|| {
        wire::encode_with(|w| match told {
            // §6.3: SUITES_R names one suite at least.
            Told::WrongSuite if !suites_r.is_empty() => {
                w.integer(2);
                let numbers: Vec<i64> = suites_r.iter().map(|suite| suite.number).collect();
                write_suites(&numbers, w);
            }
            Told::UnknownCredential => {
                w.integer(3);
                w.boolean(true);
            }
            Told::WrongSuite | Told::Unspecified | Told::Nothing => {
                w.integer(1);
                w.text(UNSPECIFIED);
            }
        })
    })
}

/// An error message of the peer's (RFC 9528 §6). Nobody has authenticated it: a hint, to a program and to a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerError<'a> {
    /// Which error.
    pub refused: Refused,
    /// With code 2: those suites of SUITES_R that are in the table. See
    /// [`initiator::propose_again`](super::initiator::propose_again).
    pub suites_r: Suites,
    /// With code 1: what the peer says of it. Anybody can have written that.
    pub diagnostic: Option<&'a str>,
    /// ERR_INFO of a code that RFC 9528 does not define.
    pub info: Option<Raw<'a>>,
}

/// Reads an error message of the peer's. It ends the session and is never answered with another one (§6).
///
/// # Errors
/// [`Malformed`] if it is none.
pub fn read_error(bytes: &[u8]) -> Result<PeerError<'_>, Malformed> {
    let mut reader = Reader::new(bytes)?;
    let code = reader.integer()?;
    let mut error = PeerError { refused: Refused::Edhoc(code), suites_r: Suites::new(), diagnostic: None, info: None };
    match code {
        1 => error.diagnostic = Some(reader.text()?),
        2 => {
            error.refused = Refused::WrongSuite;
            error.suites_r = read_suites_r(&mut reader)?;
        }
        3 if reader.boolean()? => {}
        3 => return Err(Malformed::OutOfRange),
        _ => error.info = Some(Raw(reader.raw()?)),
    }
    reader.end()?;
    Ok(error)
}
