//! Two ends, and a stranger on the link between them: what the doors `link` and `eap` have in common.
//!
//! A story is operations: what happens to the packet that is due, and what the stranger says. Then the link is good.
//!
//! - no panic;
//! - a packet that is refused is as if it had never come;
//! - what else holds, as long as none of the stranger's packets was taken for another one's, the ends say themselves.

use remote_provisioning::time::Millis;

use super::{Choices, Input};

/// Operations of one story.
const MAX_OPERATIONS: usize = 64;

/// Steps over a good link, until it has to be over.
const MAX_STEPS: usize = 2_000;

/// A packet on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) to_server: bool,
    pub(super) bytes: Vec<u8>,
}

/// What an end wants.
pub(super) enum Wish {
    Send(Packet),
    WakeAt(Millis),
}

pub(super) trait Ends {
    /// Hands a packet over, and tells whether it was taken in.
    fn take(&mut self, packet: &Packet, now: Millis) -> bool;

    fn handle_timeout(&mut self, now: Millis);

    fn poll(&mut self, now: Millis) -> Option<Wish>;

    /// How much has come out at either end: what a packet that is refused does not change.
    fn heard(&self) -> usize;

    fn is_over(&self) -> bool;

    /// Whether this packet, which was taken in, is one that an end has said: no guess, whoever brings it.
    fn is_known(said: &[Packet], packet: &Packet) -> bool;

    /// A packet of the stranger's making.
    fn made_up(input: &mut Input<'_>) -> Packet;
}

/// The link.
pub(super) struct Between<E> {
    pub(super) ends: E,
    now: Millis,
    wake: Millis,
    due: Vec<Packet>,
    said: Vec<Packet>,
    /// Somebody has guessed right: then nothing is promised but that nobody panics.
    pub(super) guessed: bool,
}

impl<E: Ends> Between<E> {
    /// Lets the story happen, and then an honest end.
    pub(super) fn play(ends: E, input: &mut Input<'_>) -> Self {
        let now = Millis(0);
        let mut link = Self { ends, now, wake: now, due: Vec::new(), said: Vec::new(), guessed: false };
        link.poll();
        for _ in 0..MAX_OPERATIONS {
            if input.is_empty() {
                break;
            }
            match input.byte() % 6 {
                0 => link.step(),
                // Lost.
                1 => drop(link.due.pop()),
                // Said before, or something like it; to the other end, if it comes to that.
                2 if !link.said.is_empty() => {
                    let Packet { to_server, bytes } = link.said[input.below(link.said.len())].clone();
                    let bytes = input.mutated(&bytes);
                    link.stranger(Packet { to_server: to_server ^ input.byte().is_multiple_of(8), bytes });
                }
                3 => link.stranger(E::made_up(input)),
                4 => link.stranger(Packet { to_server: input.byte() & 1 == 0, bytes: input.chunk().to_vec() }),
                _ => link.wait(),
            }
        }
        for _ in 0..MAX_STEPS {
            if link.ends.is_over() {
                break;
            }
            link.step();
        }
        link
    }

    /// The next packet arrives; if there is none, time passes.
    fn step(&mut self) {
        if self.due.is_empty() {
            return self.wait();
        }
        let packet = self.due.remove(0);
        self.deliver(&packet);
    }

    fn wait(&mut self) {
        self.now = self.now.max(self.wake);
        self.ends.handle_timeout(self.now);
        self.poll();
    }

    fn stranger(&mut self, packet: Packet) {
        let known = E::is_known(&self.said, &packet);
        let taken = self.deliver(&packet);
        self.guessed |= taken && !known;
    }

    fn deliver(&mut self, packet: &Packet) -> bool {
        let (due, heard) = (self.due.len(), self.ends.heard());
        let taken = self.ends.take(packet, self.now);
        self.poll();
        assert!(taken || (self.due.len(), self.ends.heard()) == (due, heard), "refused, and not without effect");
        assert!(self.due.len() <= due + 1, "one packet for one packet");
        taken
    }

    fn poll(&mut self) {
        while let Some(wish) = self.ends.poll(self.now) {
            match wish {
                Wish::WakeAt(at) => self.wake = at,
                Wish::Send(packet) => {
                    self.said.push(packet.clone());
                    self.due.push(packet);
                }
            }
        }
    }
}
