//! Fragments of whoever, into the one reassembly; and option values and packets that carry them.
//!
//! Input: operations, each a choice and its fragment. A model beside it keeps nothing but the bytes that were taken in.
//!
//! - no panic;
//! - what is refused changes nothing;
//! - a message that comes out is what went in, as long as its first fragment said, in no more fragments than there may be;
//! - a repetition is one, and another message is not taken while one is under way.

use remote_provisioning::{
    error::{Error, Malformed, Misbehaved},
    framing::{
        MAX_FRAGMENTS, MIN_FRAGMENT, Packet, Piece, Progress, Reassembler,
        coap::{Block, BlockSize, block},
    },
    time::Millis,
    wire::MAX_MESSAGE,
};

use super::{Choices, Input};

const PATIENCE: u64 = 1_000;

/// Operations of one story.
const MAX_OPERATIONS: usize = 64;

/// What was taken in of the message under way.
struct Model {
    message: u64,
    total: usize,
    bytes: Vec<u8>,
    fragments: usize,
    until: Millis,
}

pub(super) fn run(data: &[u8]) {
    read_only(data);
    let mut input = Input::new(data);
    let mut reassembler = Reassembler::new(PATIENCE);
    let mut model: Option<Model> = None;
    let mut now = Millis(0);
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        let have = model.as_ref().map_or(0, |model| model.bytes.len());
        let (message, total, offset, more, payload);
        match input.byte() % 4 {
            // The next fragment of the message under way, or the first one of another.
            0 => {
                message = model.as_ref().map_or(u64::from(input.byte()), |model| model.message);
                total = Some(model.as_ref().map_or_else(|| input.below(MAX_MESSAGE + 2), |model| model.total));
                let left = total.unwrap_or(0).saturating_sub(have);
                offset = have;
                payload = vec![input.byte(); input.below(left + 1)];
                more = payload.len() < left;
            }
            // Anything.
            1 => {
                message = u64::from(input.byte() % 4);
                total = (input.byte() & 1 == 0).then(|| input.below(2 * MAX_MESSAGE));
                offset = input.below(2 * MAX_MESSAGE);
                more = input.byte() & 1 == 0;
                payload = input.chunk().to_vec();
            }
            // A repetition of what is there, or nearly one.
            2 => {
                message = model.as_ref().map_or(0, |model| model.message);
                total = None;
                offset = input.below(have + 1);
                let there = model.as_ref().map_or(&[][..], |model| &model.bytes[offset..]);
                payload = input.mutated(there);
                more = model.as_ref().is_some_and(|model| offset + payload.len() < model.total);
            }
            _ => {
                now = now.after(u64::from(input.byte()) * 8);
                let over = model.as_ref().is_some_and(|model| now >= model.until);
                assert_eq!(reassembler.expire(now), over);
                model = model.filter(|_| !over);
                continue;
            }
        }
        let piece = Piece { message, total, offset, more, data: &payload };
        let before = (reassembler.until(), reassembler.have(message, now));
        match reassembler.accept(&piece, now) {
            Err(error) => {
                assert!(matches!(
                    error,
                    Error::Misbehaved(Misbehaved::Fragment(_)) | Error::Malformed(Malformed::TooLong)
                ));
                assert_eq!((reassembler.until(), reassembler.have(message, now)), before, "{piece:?}");
            }
            Ok(Progress::Repeated) => {
                let model = model.as_ref().expect("something is there");
                assert_eq!(
                    (message, Some(&payload[..])),
                    (model.message, model.bytes.get(offset..offset + payload.len()))
                );
            }
            Ok(progress) => {
                let model_now = model.get_or_insert_with(|| Model {
                    message,
                    total: total.expect("the first one names it"),
                    bytes: Vec::new(),
                    fragments: 0,
                    until: now.after(PATIENCE),
                });
                assert_eq!((message, offset), (model_now.message, model_now.bytes.len()), "{piece:?}");
                model_now.bytes.extend_from_slice(&payload);
                model_now.fragments += 1;
                assert!(model_now.total <= MAX_MESSAGE && model_now.fragments <= MAX_FRAGMENTS);
                match progress {
                    Progress::Whole(whole) => {
                        let model = model.take().expect("it is there");
                        assert_eq!((whole.len(), whole), (model.total, model.bytes));
                        assert_eq!(reassembler.until(), None);
                    }
                    Progress::Next(next) => {
                        assert_eq!((next, reassembler.until()), (model_now.bytes.len(), Some(model_now.until)));
                        assert!(next < model_now.total && payload.len() >= MIN_FRAGMENT);
                    }
                    Progress::Repeated => unreachable!("was looked at"),
                }
            }
        }
    }
}

/// Packets and option values: what is read writes to itself.
fn read_only(data: &[u8]) {
    if let Ok(packet) = Packet::read(data) {
        assert_eq!(packet.write(), data);
    }
    if let Ok(read) = Block::read(data) {
        let written = read.write().expect("three bytes have no more than 20 bits of number");
        assert!(data.ends_with(&written) && data.len() <= 3);
        assert_eq!(Block::read(&written), Ok(read));
    }
    // The same bytes as a message, in blocks of each size.
    let Some((first, message)) = data.split_first() else { return };
    let size = BlockSize::new(first % 7).expect("up to 6");
    let mut reassembler = Reassembler::new(PATIENCE);
    let mut sent = 0;
    for number in 0.. {
        let Ok((head, payload, total)) = block(message, number, size) else {
            assert!(message.len() > MAX_MESSAGE);
            return;
        };
        sent += size.bytes();
        match reassembler.accept_block(1, head, total, payload, Millis(0)).expect("an honest block") {
            Progress::Whole(whole) => return assert_eq!(whole, message),
            progress => assert_eq!(progress, Progress::Next(sent)),
        }
    }
}

/// What there is to start from.
pub(super) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    // A message of 256 bytes in four honest fragments; with a repetition, a stranger and a pause in between.
    let first = [0, 1, 1, 0, 7, 0, 63];
    let next = |bytes: u8| [0, 7, bytes];
    vec![
        ("honest", [&first[..], &next(63), &next(63), &next(67)].concat()),
        ("repeated", [&first[..], &[2, 0, 0], &next(63), &[2, 40, 0]].concat()),
        ("stranger", [&first[..], &[1, 2, 0, 1, 0, 0, 0, 1, 0, 3, 1, 2, 3], &next(63)].concat()),
        ("late", [&first[..], &[3, 200], &next(63), &first].concat()),
        ("packet", vec![0x05, 0xab, 0xcd, 0x01, 0x2c, 0x00, 0x7f, 1, 2, 3]),
        ("option", vec![0xff, 0xfa]),
    ]
}
