//! CoAP's blocks: option values byte for byte, every length in every size, and what is refused.

use remote_provisioning::{
    error::{Error, Fragment, Malformed, Misuse},
    framing::{
        Progress, Reassembler,
        coap::{Block, BlockSize, block},
    },
    time::Millis,
    wire::MAX_MESSAGE,
};

use crate::{allocated, lengths, message, refused};

const NOW: Millis = Millis(0);

fn size(szx: u8) -> BlockSize {
    BlockSize::new(szx).unwrap()
}

/// The values of RFC 7959 §3: 2:1/0/128 and the like.
#[test]
fn option_values() {
    for (number, more, bytes, value) in [
        (0, false, 16, &b""[..]),
        (0, true, 128, b"\x0b"),
        (1, true, 128, b"\x1b"),
        (2, false, 128, b"\x23"),
        (15, true, 1_024, b"\xfe"),
        (16, false, 1_024, b"\x01\x06"),
        (0xfff, true, 64, b"\xff\xfa"),
        (0x1000, false, 16, b"\x01\x00\x00"),
        (0xf_ffff, true, 1_024, b"\xff\xff\xfe"),
    ] {
        let block = Block { number, more, size: size((bytes as u32 / 16).ilog2() as u8) };
        assert_eq!(block.size.bytes(), bytes);
        assert_eq!(block.write().unwrap(), value);
        assert_eq!(Block::read(value), Ok(block));
        assert_eq!(block.offset(), number as usize * bytes);
    }
    // RFC 7252 §3.2: leading zeros do not count.
    assert_eq!(Block::read(b"\0\0\x0b"), Block::read(b"\x0b"));
    assert_eq!(Block::read(b"\x17"), Err(Malformed::OutOfRange));
    assert_eq!(Block::read(b"\0\0\0\x0b"), Err(Malformed::TooLong));
    assert_eq!(BlockSize::new(7), Err(Malformed::OutOfRange));
    // No option has 21 bits of number.
    for number in [0x10_0000, u32::MAX] {
        let block = Block { number, more: false, size: size(0) };
        assert_eq!(block.write(), Err(Misuse::Parameter("a block number has 20 bits")));
    }
    assert_eq!((BlockSize::MIN.bytes(), BlockSize::SMALL.bytes(), BlockSize::MAX.bytes()), (16, 64, 1_024));
    assert_eq!(BlockSize::SMALL.exponent(), 2);
}

#[test]
fn every_length_in_every_size() {
    for szx in 0..=6 {
        let size = size(szx);
        let mut reassembler = Reassembler::new(1_000);
        for len in lengths() {
            let whole = message(len, szx);
            let (mut number, mut payload_bytes) = (0, 0);
            let done = loop {
                let (head, payload, total) = block(&whole, number, size).unwrap();
                assert_eq!(total, (number == 0 && head.more).then_some(len));
                // As it goes over the wire.
                let head = Block::read(&head.write().unwrap()).unwrap();
                payload_bytes += payload.len();
                number += 1;
                match reassembler.accept_block(u64::from(szx), head, total, payload, NOW).unwrap() {
                    Progress::Whole(done) => break done,
                    progress => assert_eq!(progress, Progress::Next(number as usize * size.bytes())),
                }
            };
            assert_eq!(done, whole);
            assert_eq!(number as usize, len.div_ceil(size.bytes()).max(1), "{len} in {}", size.bytes());
            assert_eq!(payload_bytes, len);
            assert_eq!(block(&whole, number, size), Err(Misuse::Parameter("no such block")));
        }
    }
    let long = vec![0; MAX_MESSAGE + 1];
    assert_eq!(block(&long, 0, BlockSize::MAX), Err(Misuse::Parameter("a message has at most 4,096 bytes")));
}

#[test]
fn blocks_that_are_refused() {
    let whole = message(300, 1);
    let size = BlockSize::SMALL;
    let mut reassembler = Reassembler::new(1_000);
    let mut hear = |message, number, more, total, payload: &[u8]| {
        let (count, _, result) =
            allocated(|| reassembler.accept_block(message, Block { number, more, size }, total, payload, NOW));
        assert!(count <= u64::from(result.is_ok()), "only the first one that is taken costs anything");
        result
    };
    let length = || Err(Error::from(Malformed::WrongLength));
    assert_eq!(hear(1, 0, true, None, &whole[..64]), refused(Fragment::Gap), "no Size1");
    assert_eq!(hear(1, 0, true, Some(300), &whole[..63]), length());
    assert_eq!(hear(1, 0, true, Some(300), &whole[..65]), length());
    assert_eq!(hear(1, 0, false, None, &whole[..65]), length());
    assert_eq!(hear(1, 0, true, Some(5_000), &whole[..64]), Err(Malformed::TooLong.into()));
    assert_eq!(hear(1, 0, false, Some(300), &whole[..64]), refused(Fragment::End));
    assert_eq!(hear(1, 1, false, None, &whole[64..70]), refused(Fragment::Gap));
    assert_eq!(hear(1, 0, true, Some(300), &whole[..64]), Ok(Progress::Next(64)));
    assert_eq!(hear(1, 0, true, Some(300), &whole[..64]), Ok(Progress::Repeated));
    assert_eq!(hear(1, 0, true, Some(301), &whole[..64]), refused(Fragment::Total));
    assert_eq!(hear(2, 0, true, Some(300), &whole[..64]), refused(Fragment::Interleaved));
    assert_eq!(hear(2, 0, false, None, b"whole"), refused(Fragment::Interleaved));
    assert_eq!(hear(1, 0, true, None, &message(64, 2)), refused(Fragment::Overlap));
    assert_eq!(hear(1, 2, true, None, &whole[128..192]), refused(Fragment::Gap));
    assert_eq!(hear(1, 1, false, None, &whole[64..128]), refused(Fragment::End));
    assert_eq!(hear(1, 1, false, None, b""), refused(Fragment::Short));
    assert_eq!(hear(1, 0xf_ffff, true, None, &whole[..64]), refused(Fragment::End));
    for number in 1..4 {
        let at = number as usize * 64;
        assert_eq!(hear(1, number, true, None, &whole[at..at + 64]), Ok(Progress::Next(at + 64)));
    }
    assert_eq!(hear(1, 4, false, None, &whole[256..]), Ok(Progress::Whole(whole.clone())));
}
