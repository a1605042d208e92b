//! A flash memory, and a [`SubscriptionStore`] on it that a power cut leaves whole.
//!
//! The board's large memory takes the place of a flash: QEMU keeps it in a file, word by word, so it is there after QEMU was
//! killed. It is used like a flash: pages are erased to ones, words are programmed once. Both can be cut off in the middle.
//!
//! ```text
//! bank = sequence · CRC-32 · lengths of record, slot A, slot B · their bytes, each from a whole word on
//!
//! commit:   erase the other bank ─▶ program all but the sequence ─▶ program the sequence ─▶ erase the bank before
//!                                                                   └ from here on the new one counts
//! ```
//!
//! A bank counts if its CRC fits; of two, the one with the higher sequence. So a commit lands whole or not at all. The bank
//! before is erased because K is in it.

use alloc::vec::Vec;
use core::{ptr, slice};

use remote_provisioning::{
    crypto::SecretBytes,
    error::Backend,
    store::{Commit, MAX_RECORD, Slot, SlotChange, SubscriptionStore},
};

use crate::board;

const BASE: usize = 0x2100_0000;
const PAGE_LEN: usize = 4096;
/// Pages of a bank: the longest record, two slots and the head.
const BANK_PAGES: usize = 2;
const BANK_LEN: usize = PAGE_LEN * BANK_PAGES;
/// What the factory writes: a page of its own.
const FACTORY: usize = BASE + 2 * BANK_LEN;

const ERASED: u32 = u32::MAX;
const WORD: usize = 4;

/// Words before a bank's bytes.
const HEAD: usize = 5;
const CRC: usize = 1;
const LENGTHS: usize = 2;

/// Bytes of record and slots, each rounded up by a word at most.
const MAX_LEN: usize = BANK_LEN - HEAD * WORD;

/// The flash, the power supply of the laboratory, and what has been done to it.
#[derive(Default)]
pub struct Flash {
    /// Steps that still succeed; `None` for all.
    pub fuse: Option<u32>,
    /// Words programmed.
    pub words: u32,
    /// Pages erased.
    pub pages: u32,
}

impl Flash {
    /// Before each step. Where the power is cut, the laboratory hears of it and switches off.
    fn step(&mut self) {
        match &mut self.fuse {
            Some(0) => board::halt(b'C'),
            Some(left) => *left -= 1,
            None => {}
        }
    }

    fn program(&mut self, address: usize, word: u32) {
        self.step();
        // SAFETY: callers stay within the flash, and nothing else lives there.
        unsafe { ptr::write_volatile(address as *mut u32, ptr::read_volatile(address as *const u32) & word) }
        self.words += 1;
    }

    /// Programs bytes from a whole word on; gives where the next ones go.
    fn program_bytes(&mut self, address: usize, bytes: &[u8]) -> usize {
        let (words, rest) = bytes.as_chunks::<WORD>();
        let mut last = [0xff; WORD];
        last.iter_mut().zip(rest).for_each(|(last, byte)| *last = *byte);
        let mut place = address;
        for word in words.iter().chain((!rest.is_empty()).then_some(&last)) {
            self.program(place, u32::from_le_bytes(*word));
            place += WORD;
        }
        place
    }

    /// In two steps, so that it can be cut off in the middle.
    fn erase(&mut self, address: usize, pages: usize) {
        for half in 0..2 * pages {
            self.step();
            // SAFETY: as above.
            unsafe { ptr::write_bytes((address + half * (PAGE_LEN / 2)) as *mut u8, 0xff, PAGE_LEN / 2) }
        }
        self.pages += pages as u32;
    }

    /// At the factory.
    pub fn make(&mut self, content: &[u8]) {
        self.erase(FACTORY, 1);
        self.program_bytes(FACTORY + WORD, content);
        self.program(FACTORY, content.len() as u32);
    }
}

/// What the factory wrote.
pub fn factory() -> &'static [u8] {
    // SAFETY: within the flash, where nothing writes once the device has left the factory.
    unsafe {
        let len = ptr::read(FACTORY as *const u32) as usize;
        slice::from_raw_parts((FACTORY + WORD) as *const u8, len.min(PAGE_LEN - WORD))
    }
}

/// Record and slots of the bank that counts.
pub struct FlashStore {
    pub flash: Flash,
    bank: Option<Bank>,
    /// Commits since the device was switched on.
    pub commits: u32,
}

/// A bank that counts.
#[derive(Clone, Copy)]
struct Bank {
    /// Which of the two.
    number: usize,
    sequence: u32,
}

impl Bank {
    const fn address(number: usize) -> usize {
        BASE + number * BANK_LEN
    }

    fn head(number: usize) -> [u32; HEAD] {
        // SAFETY: within the flash.
        unsafe { ptr::read(Self::address(number) as *const [u32; HEAD]) }
    }

    /// Bytes of the record and the slots, by their number.
    fn part(&self, part: usize) -> Option<&[u8]> {
        let lengths = Self::lengths(&Self::head(self.number))?;
        let before: usize = lengths.get(..part)?.iter().flatten().map(|len| len.next_multiple_of(WORD)).sum();
        let len = (*lengths.get(part)?)?;
        // SAFETY: the CRC fitted, so the lengths are those that were written; and see `lengths`.
        Some(unsafe { slice::from_raw_parts((Self::address(self.number) + HEAD * WORD + before) as *const u8, len) })
    }

    /// Lengths that a bank has room for.
    fn lengths(head: &[u32; HEAD]) -> Option<[Option<usize>; 3]> {
        let [.., record, a, b] = *head;
        let lengths = [record, a, b].map(|len| (len != ERASED).then_some(len as usize));
        let fits =
            lengths.iter().flatten().map(|len| len.saturating_add(WORD)).fold(0, usize::saturating_add) <= MAX_LEN;
        fits.then_some(lengths)
    }

    /// The CRC over a bank's sequence, lengths and bytes.
    fn crc(number: usize, sequence: u32, head: &[u32; HEAD]) -> Option<u32> {
        let lengths = Self::lengths(head)?;
        let len: usize = lengths.iter().flatten().map(|len| len.next_multiple_of(WORD)).sum();
        let from = Self::address(number) + LENGTHS * WORD;
        // SAFETY: within the flash.
        let bytes = unsafe { slice::from_raw_parts(from as *const u8, (HEAD - LENGTHS) * WORD + len) };
        Some(!sequence.to_le_bytes().iter().chain(bytes).fold(ERASED, |crc, byte| crc_step(crc, *byte)))
    }

    fn find(number: usize) -> Option<Self> {
        let head = Self::head(number);
        let [sequence, crc, ..] = head;
        let counts = sequence != ERASED && Self::crc(number, sequence, &head) == Some(crc);
        counts.then_some(Self { number, sequence })
    }
}

/// CRC-32 (IEEE 802.3), four bits at a time.
fn crc_step(crc: u32, byte: u8) -> u32 {
    const fn table() -> [u32; 16] {
        let mut table = [0; 16];
        let mut entry = 0;
        while entry < 16 {
            let mut value = entry as u32;
            let mut bit = 0;
            while bit < 4 {
                value = (value >> 1) ^ (0xedb8_8320 & (value & 1).wrapping_neg());
                bit += 1;
            }
            table[entry] = value;
            entry += 1;
        }
        table
    }
    static TABLE: [u32; 16] = table();
    let crc = crc ^ u32::from(byte);
    let crc = (crc >> 4) ^ TABLE[(crc & 15) as usize];
    (crc >> 4) ^ TABLE[(crc & 15) as usize]
}

const RECORD: usize = 0;

const fn part_of(slot: Slot) -> usize {
    match slot {
        Slot::A => 1,
        Slot::B => 2,
    }
}

impl FlashStore {
    /// Finds the bank that counts.
    pub fn open(flash: Flash) -> Self {
        let bank = [0, 1].into_iter().filter_map(Bank::find).max_by_key(|bank| bank.sequence);
        Self { flash, bank, commits: 0 }
    }

    fn part(&self, part: usize) -> Option<&[u8]> {
        self.bank.as_ref()?.part(part)
    }
}

impl SubscriptionStore for FlashStore {
    fn record(&self) -> Result<Option<Vec<u8>>, Backend> {
        Ok(self.part(RECORD).map(<[u8]>::to_vec))
    }

    fn slot(&self, slot: Slot) -> Result<Option<SecretBytes>, Backend> {
        Ok(self.part(part_of(slot)).map(|bytes| SecretBytes::new(bytes.to_vec())))
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), Backend> {
        let before = self.bank;
        let (number, sequence) = before.map_or((0, 0), |bank| (1 - bank.number, bank.sequence + 1));
        let mut parts = [Some(commit.record), None, None];
        if let Some(bank) = &before {
            parts[1] = bank.part(1);
            parts[2] = bank.part(2);
        }
        for change in commit.slots {
            match change {
                SlotChange::Write(slot, content) => parts[part_of(*slot)] = Some(content.bytes()),
                SlotChange::Erase(slot) => parts[part_of(*slot)] = None,
            }
        }
        let lengths = parts.map(|part| part.map_or(ERASED, |bytes| bytes.len() as u32));
        if commit.record.len() > MAX_RECORD || Bank::lengths(&[0, 0, lengths[0], lengths[1], lengths[2]]).is_none() {
            return Err(Backend::Store);
        }
        let address = Bank::address(number);
        self.flash.erase(address, BANK_PAGES);
        let mut place = address + LENGTHS * WORD;
        for len in lengths {
            self.flash.program(place, len);
            place += WORD;
        }
        for part in parts.iter().flatten() {
            place = self.flash.program_bytes(place, part);
        }
        let crc = Bank::crc(number, sequence, &Bank::head(number)).ok_or(Backend::Store)?;
        self.flash.program(address + CRC * WORD, crc);
        self.flash.program(address, sequence);
        self.bank = Some(Bank { number, sequence });
        if before.is_some() {
            self.flash.erase(Bank::address(1 - number), BANK_PAGES);
        }
        self.commits += 1;
        Ok(())
    }
}
