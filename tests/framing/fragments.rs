//! The one reassembly, fed by hand: what it takes, what it refuses, and that refusing costs nothing.

use remote_provisioning::{
    error::{Error, Fragment, Malformed, Misbehaved, Misuse, Told},
    framing::{HEAD_LEN, MAX_FRAGMENTS, MIN_FRAGMENT, Packet, Piece, Profile, Progress, Reassembler},
    time::Millis,
    wire::MAX_MESSAGE,
};

use crate::{allocated, message, often, refused};

const NOW: Millis = Millis(1_000);
const PATIENCE: u64 = 60_000;

/// Message 7, in fragments of 100 bytes.
fn piece(message: &[u8], offset: usize) -> Piece<'_> {
    let end = message.len().min(offset + 100);
    Piece { message: 7, total: Some(message.len()), offset, more: end < message.len(), data: &message[offset..end] }
}

/// A reassembly that has the first 200 bytes of message 7.
fn with_200(message: &[u8]) -> Reassembler {
    let mut reassembler = Reassembler::new(PATIENCE);
    assert_eq!(reassembler.accept(&piece(message, 0), NOW), Ok(Progress::Next(100)));
    assert_eq!(reassembler.accept(&piece(message, 100), NOW), Ok(Progress::Next(200)));
    reassembler
}

/// That `bad` is refused for this reason, without an allocation, and that the message gets whole all the same.
fn refuses(bad: &Piece<'_>, now: Millis, why: impl Into<Error>) {
    let whole = message(450, 1);
    let mut reassembler = with_200(&whole);
    let why = why.into();
    for _ in 0..often(1_000) {
        let (count, _, result) = allocated(|| reassembler.accept(bad, now));
        assert_eq!(result, Err(why), "{bad:?}");
        assert_eq!(count, 0, "{bad:?}");
    }
    assert_eq!(reassembler.have(7, now), 200);
    for offset in [200, 300] {
        assert_eq!(reassembler.accept(&piece(&whole, offset), now), Ok(Progress::Next(offset + 100)));
    }
    assert_eq!(reassembler.accept(&piece(&whole, 400), now), Ok(Progress::Whole(whole)));
}

#[test]
fn every_fault_is_refused_and_changes_nothing() {
    let whole = message(450, 1);
    let next = piece(&whole, 200);
    let other = message(100, 2);
    // Overlap: other bytes than those that are there; one byte of what is there and more; from within.
    refuses(&Piece { offset: 0, data: &other, ..next }, NOW, Fragment::Overlap);
    refuses(&Piece { offset: 100, data: &whole[100..250], ..next }, NOW, Fragment::Overlap);
    refuses(&Piece { offset: 199, data: &whole[199..299], ..next }, NOW, Fragment::Overlap);
    refuses(&Piece { offset: 0, more: false, data: &whole, ..next }, NOW, Fragment::Overlap);
    // Gap: one byte too far, or the last one at once.
    refuses(&Piece { offset: 201, data: &whole[201..301], ..next }, NOW, Fragment::Gap);
    refuses(&piece(&whole, 400), NOW, Fragment::Gap);
    // Another total, longer or shorter.
    refuses(&Piece { total: Some(451), ..next }, NOW, Fragment::Total);
    refuses(&Piece { total: Some(449), ..next }, NOW, Fragment::Total);
    refuses(&Piece { total: Some(0), data: &[], more: false, ..next }, NOW, Fragment::Total);
    refuses(&Piece { total: Some(MAX_MESSAGE + 1), ..next }, NOW, Fragment::Total);
    // Past the end, to the end with more to come, and short of it with no more to come.
    refuses(&Piece { data: &message(251, 1), more: false, ..next }, NOW, Fragment::End);
    refuses(&Piece { offset: usize::MAX, ..next }, NOW, Fragment::End);
    refuses(&Piece { data: &whole[200..450], more: true, ..next }, NOW, Fragment::End);
    refuses(&Piece { more: false, ..next }, NOW, Fragment::End);
    // Nothing, or next to nothing: a message would never end.
    refuses(&Piece { data: &[], ..next }, NOW, Fragment::Short);
    refuses(&Piece { data: &[], more: false, offset: 450, ..next }, NOW, Fragment::Short);
    refuses(&Piece { data: &whole[200..200 + MIN_FRAGMENT - 1], ..next }, NOW, Fragment::Short);
    // Another message of the same peer, or another peer: the first of several, the only one, one in the middle.
    refuses(&Piece { message: 8, offset: 0, data: &whole[..100], ..next }, NOW, Fragment::Interleaved);
    refuses(&Piece { message: 8, total: Some(100), offset: 0, data: &other, more: false }, NOW, Fragment::Interleaved);
    refuses(&Piece { message: 8, ..next }, NOW, Fragment::Interleaved);
    refuses(&Piece { message: 8, offset: 0, ..next }, Millis(NOW.0 + PATIENCE - 1), Fragment::Interleaved);
}

#[test]
fn a_message_that_has_not_begun_takes_no_other_beginning() {
    let whole = message(450, 1);
    let first = piece(&whole, 0);
    let mut reassembler = Reassembler::new(PATIENCE);
    let mut refuses = |bad: Piece<'_>, why: Error| {
        let (count, _, result) = allocated(|| reassembler.accept(&bad, NOW));
        assert_eq!((result, count), (Err(why), 0), "{bad:?}");
        assert_eq!((reassembler.until(), reassembler.have(7, NOW)), (None, 0));
    };
    refuses(piece(&whole, 100), Fragment::Gap.into());
    refuses(piece(&whole, 400), Fragment::Gap.into());
    refuses(Piece { total: None, ..first }, Fragment::Gap.into());
    refuses(Piece { total: Some(MAX_MESSAGE + 1), ..first }, Malformed::TooLong.into());
    refuses(Piece { total: Some(usize::MAX), ..first }, Malformed::TooLong.into());
    refuses(Piece { total: Some(99), ..first }, Fragment::End.into());
    refuses(Piece { total: Some(99), more: false, ..first }, Fragment::End.into());
    refuses(Piece { total: Some(100), ..first }, Fragment::End.into());
    refuses(Piece { total: Some(0), ..first }, Fragment::End.into());
    refuses(Piece { data: &[], ..first }, Fragment::Short.into());
    refuses(Piece { data: &whole[..MIN_FRAGMENT - 1], ..first }, Fragment::Short.into());
    assert_eq!(reassembler.accept(&first, NOW), Ok(Progress::Next(100)));
}

#[test]
fn repetitions_change_nothing() {
    let whole = message(450, 1);
    let mut reassembler = with_200(&whole);
    for (offset, len) in [(0, 100), (100, 100), (0, 200), (150, 50)] {
        let again = Piece { data: &whole[offset..offset + len], ..piece(&whole, offset) };
        let (count, _, result) = allocated(|| reassembler.accept(&again, NOW));
        assert_eq!((result, count), (Ok(Progress::Repeated), 0));
    }
    assert_eq!(reassembler.have(7, NOW), 200);
    assert_eq!(reassembler.have(8, NOW), 0);
}

/// Whatever comes, a message costs one buffer of its length, and none after the first fragment.
#[test]
fn memory_is_one_buffer() {
    let whole = message(MAX_MESSAGE, 1);
    let mut reassembler = Reassembler::new(PATIENCE);
    let (count, bytes, result) = allocated(|| reassembler.accept(&piece(&whole, 0), NOW));
    assert_eq!((count, bytes, result), (1, MAX_MESSAGE as u64, Ok(Progress::Next(100))));
    for offset in (100..MAX_MESSAGE).step_by(100) {
        let (count, _, result) = allocated(|| reassembler.accept(&piece(&whole, offset), NOW));
        assert_eq!(count, 0);
        match result.unwrap() {
            Progress::Whole(done) => assert_eq!((offset, done), (4_000, whole.clone())),
            progress => assert_eq!(progress, Progress::Next(offset + 100)),
        }
    }
    assert_eq!(reassembler.until(), None);
}

/// The smallest fragments that are taken: so many, and no more.
#[test]
fn a_message_ends() {
    let whole = message(MAX_MESSAGE, 1);
    let mut reassembler = Reassembler::new(PATIENCE);
    let mut fragments = 0;
    let done = loop {
        let offset = fragments * MIN_FRAGMENT;
        let data = &whole[offset..offset + MIN_FRAGMENT];
        let more = offset + MIN_FRAGMENT < MAX_MESSAGE;
        fragments += 1;
        match reassembler.accept(&Piece { data, more, ..piece(&whole, offset) }, NOW).unwrap() {
            Progress::Whole(done) => break done,
            progress => assert_eq!(progress, Progress::Next(offset + MIN_FRAGMENT)),
        }
    };
    assert_eq!((fragments, done), (MAX_FRAGMENTS, whole));
    assert_eq!(MAX_FRAGMENTS, 256);
}

/// A message has its place for a time from its first fragment on, however busy its sender is.
#[test]
fn a_message_that_does_not_get_whole_loses_its_place() {
    let (whole, other) = (message(450, 1), message(300, 2));
    let mut reassembler = with_200(&whole);
    let until = Millis(NOW.0 + PATIENCE);
    let just_before = Millis(until.0 - 1);
    assert_eq!(reassembler.accept(&piece(&whole, 200), just_before), Ok(Progress::Next(300)));
    assert_eq!(reassembler.until(), Some(until), "not extended");
    assert!(!reassembler.expire(just_before));
    let first = Piece { message: 8, ..piece(&other, 0) };
    assert_eq!(reassembler.accept(&first, just_before), refused(Fragment::Interleaved));
    // Now it is too late for itself, and what is no beginning does not take its place either.
    assert_eq!(reassembler.accept(&piece(&whole, 300), until), refused(Fragment::Gap));
    assert_eq!(reassembler.have(7, until), 0);
    assert_eq!(reassembler.accept(&first, until), Ok(Progress::Next(100)));
    assert_eq!(reassembler.have(8, until), 100);
    assert_eq!(reassembler.until(), Some(Millis(until.0 + PATIENCE)));
    assert!(reassembler.expire(Millis(until.0 + PATIENCE)));
    assert!(!reassembler.expire(Millis(until.0 + PATIENCE)));
    assert_eq!(reassembler.until(), None);
}

/// Whoever sends fragments is a stranger, and is told nothing.
#[test]
fn a_refused_fragment_is_not_answered() {
    for fragment in [Fragment::Overlap, Fragment::Gap, Fragment::Interleaved, Fragment::Stale] {
        assert_eq!(Error::from(fragment).told(), Told::Nothing);
    }
    assert_eq!(Error::from(Misbehaved::UnexpectedMessage).told(), Told::Unspecified);
}

// ------------------------------------------------------------------------------------------------------------- packets

#[test]
fn packets_byte_for_byte() {
    let fragment = Packet {
        acknowledges: false,
        from_server: false,
        number: 5,
        exchange: 0xabcd,
        total: 300,
        offset: 127,
        data: b"xyz",
    };
    assert_eq!(fragment.write(), b"\x05\xab\xcd\x01\x2c\x00\x7fxyz");
    let wanted = Packet {
        acknowledges: true,
        from_server: false,
        number: 63,
        exchange: 1,
        total: 4096,
        offset: 4095,
        data: b"",
    };
    assert_eq!(wanted.write(), b"\xbf\x00\x01\x10\x00\x0f\xff");
    assert_eq!(Packet { from_server: true, ..fragment }.write(), b"\x45\xab\xcd\x01\x2c\x00\x7fxyz");
    for packet in [fragment, wanted] {
        assert_eq!(Packet::read(&packet.write()), Ok(packet));
        assert_eq!(Packet::read(&packet.write()[..HEAD_LEN - 1]), Err(Malformed::Truncated));
    }
    assert_eq!(Packet::read(b""), Err(Malformed::Truncated));
    assert_eq!(Packet::read(b"\xff\x00\x01\x10\x00\x0f\xff\x00"), Err(Malformed::TrailingBytes));
    // What reads, writes to itself.
    for first in 0..=u8::MAX {
        let bytes = [first, 1, 2, 3, 4, 5, 6];
        assert_eq!(Packet::read(&bytes).unwrap().write(), bytes);
    }
}

#[test]
fn profiles() {
    let lengths = [Profile::EAP, Profile::SMS, Profile::APDU, Profile::NAS].map(Profile::packet);
    assert_eq!(lengths, [1_020, 134, 255, MAX_MESSAGE + HEAD_LEN]);
    assert_eq!(Profile::new(24).map(Profile::packet), Ok(24));
    assert_eq!(Profile::new(4_103), Ok(Profile::NAS));
    for packet in [0, 23, 4_104, usize::MAX] {
        assert_eq!(Profile::new(packet), Err(Misuse::Parameter("a packet has 24 to 4,103 bytes")));
    }
}
