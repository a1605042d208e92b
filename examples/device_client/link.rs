//! CoAP over UDP, the client's side: a request goes out, again with longer pauses and each time to the next server, until its
//! response is there. Long messages go and come in blocks.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};
use remote_provisioning::{
    error::Error,
    framing::{
        Progress, Reassembler,
        coap::{Block, BlockSize, block},
    },
    sim::SeededRng,
    time::{Millis, Retry},
};

use crate::net;

/// How often a request goes out.
const ATTEMPTS: u8 = 7;

/// How often a message is sent from its first block on, because another server had the first ones.
const RESTARTS: usize = 4;

/// Milliseconds for the blocks of an answer.
const BLOCKS_PATIENCE: u64 = 60_000;

/// What a server has said.
pub(crate) struct Answer {
    pub(crate) code: ResponseType,
    pub(crate) payload: Vec<u8>,
    /// Where the next message goes.
    pub(crate) location: Option<Vec<String>>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("no server answers")]
    Silence,
    #[error("a server answered what makes no sense: {0}")]
    Nonsense(#[from] Error),
    #[error("{0}")]
    Socket(#[from] io::Error),
}

/// The device's end of the network.
pub(crate) struct Link {
    socket: UdpSocket,
    servers: Vec<SocketAddr>,
    /// The one that is asked.
    turn: usize,
    retry: Retry,
    loss: f64,
    dice: SeededRng,
    start: Instant,
    /// Datagrams and bytes that went out, came in, and got lost on purpose.
    pub(crate) sent: (usize, usize),
    pub(crate) received: (usize, usize),
    pub(crate) lost: usize,
}

impl Link {
    /// A link that waits for so many milliseconds before it asks again, and loses this share of what goes out and of what
    /// comes in, as the seed has it.
    pub(crate) fn new(servers: Vec<SocketAddr>, pause: u64, loss: f64, seed: u64) -> io::Result<Self> {
        let any = if servers.iter().any(SocketAddr::is_ipv6) { "[::]:0" } else { "0.0.0.0:0" };
        let mut dice = SeededRng::new(seed);
        Ok(Self {
            socket: UdpSocket::bind(any)?,
            turn: dice.below(servers.len()),
            servers,
            retry: Retry { first: pause, attempts: ATTEMPTS },
            loss,
            dice,
            start: Instant::now(),
            sent: (0, 0),
            received: (0, 0),
            lost: 0,
        })
    }

    /// Milliseconds since this began.
    pub(crate) fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Sends a message to a resource and brings the answer back, both whole.
    pub(crate) fn post(&mut self, path: &[String], message: &[u8]) -> Result<Answer, Trouble> {
        let mut answer = self.send(path, message, None)?;
        // The server asks whether this device receives: the same again, with what it said.
        if let (ResponseType::Unauthorized, Some(echo)) =
            (code(&answer), answer.get_first_option(CoapOption::Unknown(net::ECHO)).cloned())
        {
            answer = self.send(path, message, Some(&echo))?;
        }
        let location = answer
            .get_option(CoapOption::LocationPath)
            .map(|parts| parts.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect::<Vec<_>>());
        let code = code(&answer);
        let from = location.clone().unwrap_or_else(|| path.to_vec());
        let payload = self.whole(&from, answer)?;
        Ok(Answer { code, payload, location })
    }

    /// The message, block by block; the response to the last one.
    fn send(&mut self, path: &[String], message: &[u8], echo: Option<&[u8]>) -> Result<Packet, Trouble> {
        'message: for _ in 0..RESTARTS {
            let (token, mut number) = (net::random::<8>().map_err(Error::from)?, 0);
            loop {
                let (block, payload, total) = block(message, number, BlockSize::MAX).map_err(Error::from)?;
                let mut request = request(RequestType::Post, path, &token);
                if block.more || number > 0 {
                    request.add_option(CoapOption::Block1, block.write().map_err(Error::from)?);
                }
                if let Some(total) = total {
                    request.add_option(CoapOption::Size1, unsigned(total));
                }
                if let Some(echo) = echo {
                    request.add_option(CoapOption::Unknown(net::ECHO), echo.to_vec());
                }
                request.payload = payload.to_vec();
                let answer = self.exchange(request)?;
                match code(&answer) {
                    ResponseType::RequestEntityIncomplete => continue 'message,
                    ResponseType::Continue if block.more => number += 1,
                    _ => return Ok(answer),
                }
            }
        }
        Err(Trouble::Silence)
    }

    /// An answer with all its blocks.
    fn whole(&mut self, path: &[String], first: Packet) -> Result<Vec<u8>, Trouble> {
        let mut reassembler = Reassembler::new(BLOCKS_PATIENCE);
        let mut answer = first;
        loop {
            let Some(value) = answer.get_first_option(CoapOption::Block2) else { return Ok(answer.payload) };
            let block = Block::read(value).map_err(Error::from)?;
            let total = answer.get_first_option(CoapOption::Size2);
            let total = total.map(|bytes| bytes.iter().fold(0, |total, byte| total << 8 | usize::from(*byte)));
            match reassembler.accept_block(0, block, total, &answer.payload, self.now())? {
                Progress::Whole(message) => return Ok(message),
                Progress::Next(_) | Progress::Repeated => {}
            }
            let next = Block { number: block.number + 1, more: false, size: block.size };
            let mut request = request(RequestType::Post, path, &net::random::<8>().map_err(Error::from)?);
            request.add_option(CoapOption::Block2, next.write().map_err(Error::from)?);
            answer = self.exchange(request)?;
        }
    }

    pub(crate) fn get(&mut self, path: &str) -> Result<Vec<u8>, Trouble> {
        let token = net::random::<8>().map_err(Error::from)?;
        let answer = self.exchange(request(RequestType::Get, &[path.into()], &token))?;
        Ok(answer.payload)
    }

    /// One request and its response.
    fn exchange(&mut self, mut request: Packet) -> Result<Packet, Trouble> {
        for attempt in 0..self.retry.attempts {
            request.header.message_id = u16::from_be_bytes(net::random().map_err(Error::from)?);
            let bytes = request.to_bytes().map_err(|_| io::Error::other("a request that is too long"))?;
            let server = self.servers[self.turn % self.servers.len()];
            self.sent = (self.sent.0 + 1, self.sent.1 + bytes.len());
            if self.dice.chance(self.loss) {
                self.lost += 1;
            } else {
                // A server that is not there is like one that does not answer.
                let _ = self.socket.send_to(&bytes, server);
            }
            // Devices that fail together do not come back together.
            let jitter = u64::from(u16::from_be_bytes(net::random().map_err(Error::from)?)) % self.retry.first;
            let until = Instant::now() + Duration::from_millis(self.retry.pause(attempt) + jitter);
            if let Some(answer) = self.response(&request, until)? {
                if code(&answer) == ResponseType::ServiceUnavailable {
                    std::thread::sleep(until.saturating_duration_since(Instant::now()));
                } else {
                    return Ok(answer);
                }
            }
            self.turn += 1;
        }
        Err(Trouble::Silence)
    }

    /// What comes before this moment and belongs to the request.
    fn response(&mut self, request: &Packet, until: Instant) -> Result<Option<Packet>, Trouble> {
        let mut buffer = [0; 2_048];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            let (len, from) = match self.socket.recv_from(&mut buffer) {
                Ok(came) => came,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
                // Nobody listens at one of the servers.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error.into()),
            };
            if !self.servers.contains(&from) {
                continue;
            }
            if self.dice.chance(self.loss) {
                self.lost += 1;
                continue;
            }
            let Ok(answer) = Packet::from_bytes(&buffer[..len]) else { continue };
            if answer.get_token() != request.get_token() || !of_same_block(request, &answer) {
                continue;
            }
            self.received = (self.received.0 + 1, self.received.1 + len);
            return Ok(Some(answer));
        }
    }
}

/// Whether a response with the request's token is to this block of it. One that refuses the message may name none.
fn of_same_block(request: &Packet, answer: &Packet) -> bool {
    let number = |packet: &Packet| {
        packet.get_first_option(CoapOption::Block1).and_then(|value| Some(Block::read(value).ok()?.number))
    };
    number(answer).is_none() || number(answer) == number(request)
}

fn code(answer: &Packet) -> ResponseType {
    match answer.header.code {
        MessageClass::Response(code) => code,
        _ => ResponseType::UnKnown,
    }
}

fn request(method: RequestType, path: &[String], token: &[u8]) -> Packet {
    let mut request = Packet::new();
    request.header.set_type(MessageType::Confirmable);
    request.header.code = MessageClass::Request(method);
    request.set_token(token.to_vec());
    for part in path {
        request.add_option(CoapOption::UriPath, part.clone().into_bytes());
    }
    request
}

fn unsigned(value: usize) -> Vec<u8> {
    value.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect()
}
