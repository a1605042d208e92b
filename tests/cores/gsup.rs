//! A serving network's end of GSUP, the protocol of osmo-hlr, over IPA: as much as an attach takes.
//!
//! ```text
//! IPA: length (2), stream (1), body       0xfe CCM: who is there       0xee then 0x05: GSUP
//! GSUP: type (1), then tag (1), length (1), value, of which the IMSI comes first
//! ```

use core::time::Duration;
use std::{
    io::{Read, Write},
    net::TcpStream,
};

use remote_provisioning::aka::Challenge;

const CCM: u8 = 0xfe;
const OSMO: u8 = 0xee;
const GSUP: u8 = 0x05;

const SEND_AUTH_INFO: u8 = 0x08;
const UPDATE_LOCATION: u8 = 0x04;
const INSERT_DATA: u8 = 0x10;
/// Ends a request's type: refused, or done.
const ERROR: u8 = 1;
const RESULT: u8 = 2;

const IMSI: u8 = 0x01;
const CAUSE: u8 = 0x02;
const AUTH_TUPLE: u8 = 0x03;
const RAND: u8 = 0x20;
const IK: u8 = 0x23;
const CK: u8 = 0x24;
const AUTN: u8 = 0x25;
const AUTS: u8 = 0x26;
const RES: u8 = 0x27;
const CN_DOMAIN: u8 = 0x28;
const PACKET_SWITCHED: u8 = 1;
const VECTORS: u8 = 0x52;

/// A vector of the core's.
pub(crate) struct Vector {
    pub(crate) challenge: Challenge,
    pub(crate) res: Vec<u8>,
    pub(crate) ck: Vec<u8>,
    pub(crate) ik: Vec<u8>,
}

/// The cause of a refusal (TS 24.008 §10.5.5.14).
pub(crate) type Cause = u8;

/// Tags and values.
type Elements = Vec<(u8, Vec<u8>)>;

/// An SGSN.
pub(crate) struct Sgsn(TcpStream);

impl Sgsn {
    /// Connects under this name; the core gives each an IND of its own.
    pub(crate) fn connect(address: &str, name: &str) -> Self {
        let stream = TcpStream::connect((address, 4222)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut sgsn = Self(stream);
        let (CCM, request) = sgsn.receive() else { panic!("osmo-hlr asks who is there") };
        assert_eq!(request.first(), Some(&4), "ID_GET");
        // ID_RESP: a serial number, which is the name, and a unit id. Each with its length, tag included, and a zero behind.
        let mut who = vec![5];
        for (tag, value) in [(0, name), (8, "0/0/0")] {
            who.extend([0, u8::try_from(value.len() + 2).unwrap(), tag]);
            who.extend(value.bytes().chain([0]));
        }
        sgsn.send(CCM, &who);
        sgsn
    }

    /// Vectors of this subscriber; after a resynchronisation with the RAND and AUTS of it.
    pub(crate) fn vectors(
        &mut self,
        imsi: &str,
        number: u8,
        resynchronisation: Option<(&[u8; 16], &[u8; 14])>,
    ) -> Result<Vec<Vector>, Cause> {
        let mut request = vec![(VECTORS, vec![number])];
        if let Some((rand, auts)) = resynchronisation {
            request.extend([(RAND, rand.to_vec()), (AUTS, auts.to_vec())]);
        }
        let answer = self.ask(SEND_AUTH_INFO, imsi, &request)?;
        let tuples = answer.1.iter().filter(|(tag, _)| *tag == AUTH_TUPLE);
        let vector = |tuple: &[u8]| {
            let parts = elements(tuple);
            let part = |tag| parts.iter().find(|(found, _)| *found == tag).unwrap().1.clone();
            let challenge = Challenge { rand: part(RAND).try_into().unwrap(), autn: part(AUTN).try_into().unwrap() };
            Vector { challenge, res: part(RES), ck: part(CK), ik: part(IK) }
        };
        Ok(tuples.map(|(_, tuple)| vector(tuple)).collect())
    }

    /// The subscriber is here now.
    pub(crate) fn update_location(&mut self, imsi: &str) -> Result<(), Cause> {
        let (kind, _) = self.ask(UPDATE_LOCATION, imsi, &[(CN_DOMAIN, vec![PACKET_SWITCHED])])?;
        assert_eq!(kind, INSERT_DATA, "it tells what it knows of the subscriber");
        let (kind, _) = self.ask(INSERT_DATA | RESULT, imsi, &[])?;
        assert_eq!(kind, UPDATE_LOCATION | RESULT);
        Ok(())
    }

    fn ask(&mut self, kind: u8, imsi: &str, more: &[(u8, Vec<u8>)]) -> Result<(u8, Elements), Cause> {
        let mut message = vec![GSUP, kind];
        for (tag, value) in [(IMSI, digits(imsi))].iter().chain(more) {
            message.extend([*tag, u8::try_from(value.len()).unwrap()]);
            message.extend(value);
        }
        self.send(OSMO, &message);
        loop {
            let (stream, body) = self.receive();
            let (OSMO, [GSUP, kind, rest @ ..]) = (stream, body.as_slice()) else { continue };
            let elements = elements(rest);
            assert_eq!(elements[0], (IMSI, digits(imsi)), "about somebody else");
            if kind & 3 == ERROR {
                return Err(elements.iter().find(|(tag, _)| *tag == CAUSE).map_or(0, |(_, cause)| cause[0]));
            }
            return Ok((*kind, elements));
        }
    }

    fn send(&mut self, stream: u8, body: &[u8]) {
        let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
        self.0.write_all(&[&[high, low, stream], body].concat()).unwrap();
    }

    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 3];
        self.0.read_exact(&mut head).unwrap();
        let mut body = vec![0; u16::from_be_bytes([head[0], head[1]]).into()];
        self.0.read_exact(&mut body).unwrap();
        (head[2], body)
    }
}

fn elements(mut rest: &[u8]) -> Elements {
    let mut elements = Vec::new();
    while let [tag, len, more @ ..] = rest {
        let (value, after) = more.split_at((*len).into());
        elements.push((*tag, value.to_vec()));
        rest = after;
    }
    elements
}

/// Two digits a byte, the first in the lower half, `f` after an odd one (TS 24.008 §10.5.4.7).
fn digits(imsi: &str) -> Vec<u8> {
    let digit = |byte: &u8| byte - b'0';
    imsi.as_bytes().chunks(2).map(|pair| digit(&pair[0]) | pair.get(1).map_or(0xf, digit) << 4).collect()
}
