//! A bad link: it loses, doubles, delays, reorders and damages what it carries, all by one seed.

use alloc::{collections::BinaryHeap, vec::Vec};
use core::cmp::Reverse;

use crate::{identity::Role, provisioning::Millis, sim::SeededRng};

/// How bad the link is. Probabilities are per transmission, from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub struct Quality {
    /// It vanishes.
    pub loss: f64,
    /// It arrives twice.
    pub doubling: f64,
    /// It arrives late, behind what was sent after it.
    pub reordering: f64,
    /// It arrives with one byte changed.
    pub damage: f64,
    /// Shortest way across, in milliseconds.
    pub delay: u64,
}

impl Quality {
    /// Forty milliseconds, and nothing else.
    pub const GOOD: Self = Self { loss: 0.0, doubling: 0.0, reordering: 0.0, damage: 0.0, delay: 40 };
}

/// What became of a transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrives, so many times.
    Delivered(u8),
    /// It vanished.
    Lost,
    /// It arrives with this byte changed.
    Damaged(usize),
}

/// A frame that arrives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame {
    /// The session, as a transport would know it by address and port.
    pub session: u32,
    /// Whether the device is to get it (or the operator).
    pub to_device: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The link between one device and one operator.
#[derive(Debug)]
pub struct Link {
    quality: Quality,
    rng: SeededRng,
    /// Frames under way, by arrival; the number keeps those of one moment in order.
    under_way: BinaryHeap<Reverse<(Millis, u64, Frame)>>,
    sent: u64,
}

impl Link {
    /// A link of this quality, whose accidents follow from `seed`.
    pub fn new(quality: Quality, seed: u64) -> Self {
        Self { quality, rng: SeededRng::new(seed), under_way: BinaryHeap::new(), sent: 0 }
    }

    /// Sends a frame.
    pub fn send(&mut self, session: u32, from: Role, bytes: &[u8], now: Millis) -> Fate {
        let to_device = from == Role::Operator;
        let mut bytes = bytes.to_vec();
        if self.rng.chance(self.quality.loss) {
            return Fate::Lost;
        }
        let mut fate = Fate::Delivered(1);
        if self.rng.chance(self.quality.damage) {
            let at = self.rng.below(bytes.len());
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << self.rng.below(8);
                fate = Fate::Damaged(at);
            }
        }
        let copies = if self.rng.chance(self.quality.doubling) { 2 } else { 1 };
        if let Fate::Delivered(count) = &mut fate {
            *count = copies;
        }
        for _ in 0..copies {
            let late = if self.rng.chance(self.quality.reordering) { 50 } else { 1 };
            let delay = self.quality.delay.saturating_mul(late);
            self.sent = self.sent.wrapping_add(1);
            let frame = Frame { session, to_device, bytes: bytes.clone() };
            self.under_way.push(Reverse((now.after(delay), self.sent, frame)));
        }
        fate
    }

    /// When the next frame arrives.
    pub fn next_arrival(&self) -> Option<Millis> {
        self.under_way.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the next frame that has arrived by `now`.
    pub fn receive(&mut self, now: Millis) -> Option<Frame> {
        if self.next_arrival()? > now {
            return None;
        }
        self.under_way.pop().map(|Reverse((.., frame))| frame)
    }
}
