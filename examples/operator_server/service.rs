//! CoAP requests in, responses out. Between two messages a session is a sealed token in the table `sessions`, and this
//! process has nothing of it: any server with the same database and keys goes on with it.
//!
//! ```text
//! read the row ─▶ open the token ─▶ handle_message, answers ─▶ seal ─▶ one commit: row, log, account, core ─▶ respond
//!                                        ▲                                     │ another server was faster, for this session
//!                                        └────────────── again ◀───────────────┘ or for another one with the same rows
//! ```
//!
//! Of a token's answers one leaves: the one whose step has landed, and only then. A server that dies before leaves the
//! session where it was; a device that asks again gets the bytes that were sent.
//!
//! The row is not durable before message_3: nobody is authenticated then, and a power cut costs a device a round trip.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};
use remote_provisioning::{
    crypto::{Crypto, Secret},
    edhoc::{self, OwnCredential, Seal},
    error::{Error, Misuse},
    framing::{
        Progress, Reassembler,
        coap::{Block, BlockSize, block},
        cookie::{Baker, Budget},
    },
    identity::{Domain, Supi},
    provisioning::{Desk, Millis, Operator, operator},
    sim::{IDENTITY, home::Home, identities},
    trust::{Date, MemoryAnchors},
};
use serde::{Deserialize, Serialize};

use crate::{
    BACKEND, Keys,
    core_network::CoreNetwork,
    database::{Database, Failure, Step, Table},
    metrics::{Metrics, count, log},
    net::{self, SystemRandom},
    office::{Office, from_cbor, hex, to_cbor},
};

/// Where sessions are.
const SESSION: &str = "s";

/// Where challenges wait for an answer.
const CHALLENGE: &str = "a";

/// Seconds in which a device goes on with its session.
const PATIENCE: u64 = 300;

/// How often a step is taken again before the device is told to come later.
const ATTEMPTS: usize = 20;

/// Messages that come in blocks, at most so many at a time, for at most so many milliseconds each.
const MAX_PARTIAL: usize = 1_024;
const BLOCKS_PATIENCE: u64 = 30_000;

/// Bytes of CoAP around a block in an answer: header, token, options.
const OVERHEAD: usize = 64;

/// Milliseconds that a cookie lives.
const COOKIE_LIFETIME: u64 = 60_000;

pub(crate) struct Service {
    database: Database,
    office: Office,
    metrics: Arc<Metrics>,
    config: operator::Config,
    keys: Keys,
    anchors: MemoryAnchors,
    storage: remote_provisioning::credential::StorageKey,
    /// All servers have these two, and nobody else.
    token_key: Secret<32>,
    cookie_key: Secret<32>,
    /// Sessions in a second above which a device has to show first that it receives.
    calm: u64,
    /// The second that is counted, and what was counted in it.
    pace: Mutex<(u64, u64)>,
    partial: Mutex<HashMap<(SocketAddr, u64), Reassembler>>,
    start: Instant,
}

/// A row of `sessions`.
#[derive(Serialize, Deserialize)]
struct Waiting {
    #[serde(with = "serde_bytes")]
    token: Vec<u8>,
    /// What the device was sent last, for the blocks of it.
    #[serde(with = "serde_bytes")]
    answer: Vec<u8>,
}

/// Another row of `sessions`: a challenge that waits for its answer.
#[derive(Serialize, Deserialize)]
struct Challenged {
    supi: String,
    #[serde(with = "serde_bytes")]
    rand: [u8; 16],
    /// SHA-256 of RAND and XRES, which is not kept (compare HXRES*, TS 33.501 §A.5).
    #[serde(with = "serde_bytes")]
    hash: [u8; 32],
    attached: bool,
}

/// What a request is answered with.
struct Response {
    code: ResponseType,
    payload: Vec<u8>,
    location: Option<[String; 2]>,
    echo: Option<Vec<u8>>,
}

impl Response {
    const fn new(code: ResponseType, payload: Vec<u8>) -> Self {
        Self { code, payload, location: None, echo: None }
    }

    const fn empty(code: ResponseType) -> Self {
        Self::new(code, Vec::new())
    }
}

/// How a session went on.
struct Gone {
    answer: Option<Vec<u8>>,
    ended: Option<Result<(), Error>>,
}

impl Service {
    pub(crate) fn new(
        database: Database,
        office: Office,
        keys: Keys,
        calm: u64,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let own = OwnCredential::chain(IDENTITY, &identities::operator_chain())?;
        let secret = |name: &str| Secret::from_slice(&BACKEND.sha256(&[b"Published test key of ", name.as_bytes()]));
        Ok(Self {
            database,
            office,
            metrics,
            config: operator::Config { retry_after: 60, ..operator::Config::new(own, Domain::Test) },
            keys,
            anchors: identities::maker_anchors(),
            storage: Home::storage_key()?,
            token_key: secret("servers that seal sessions")?,
            cookie_key: secret("servers that make cookies")?,
            calm,
            pace: Mutex::default(),
            partial: Mutex::default(),
            start: Instant::now(),
        })
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// One datagram in, at most one out.
    pub(crate) async fn datagram(&self, bytes: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        let request = Packet::from_bytes(bytes).ok()?;
        let MessageClass::Request(method) = request.header.code else { return None };
        let path: Vec<String> = request
            .get_option(CoapOption::UriPath)
            .map_or_else(Vec::new, |path| path.iter().map(|part| String::from_utf8_lossy(part).into_owned()).collect());
        let path: Vec<&str> = path.iter().map(String::as_str).collect();

        let mut block1 = None;
        let payload = match option_block(&request, CoapOption::Block1) {
            Err(()) => return respond(&request, &Response::empty(ResponseType::BadOption), None, BlockSize::MAX),
            Ok(None) => request.payload.clone(),
            Ok(Some(block)) => match self.reassemble(&request, block, from) {
                Ok(Progress::Whole(message)) => {
                    block1 = Some(block);
                    message
                }
                Ok(Progress::Next(_) | Progress::Repeated) => {
                    return respond(&request, &Response::empty(ResponseType::Continue), Some(block), BlockSize::MAX);
                }
                Err(code) => return respond(&request, &Response::empty(code), Some(block), BlockSize::MAX),
            },
        };
        let wanted = option_block(&request, CoapOption::Block2).ok().flatten();
        // Until the device has shown that it receives, it gets at most three times what it sent.
        let mut budget = Budget::new();
        budget.heard(bytes.len());
        let receives = self.shows_address(&request, &payload, from);
        // Who knows the name of a session has read it there.
        if receives || matches!(&*path, [SESSION | CHALLENGE, _]) {
            budget.routable();
        }
        let size = wanted.map_or(BlockSize::MAX, |block| block.size);
        let size = (0..=size.exponent()).rev().filter_map(|szx| BlockSize::new(szx).ok());
        let size = size.into_iter().find(|size| budget.left() >= size.bytes() + OVERHEAD).unwrap_or(BlockSize::MIN);

        let mut response = Err(Failure::Overtaken);
        for _ in 0..ATTEMPTS {
            response = self.serve(method, &path, &payload, wanted, (from, receives)).await;
            if !matches!(response, Err(Failure::Overtaken)) {
                break;
            }
            count(&self.metrics.again);
        }
        let response = response.unwrap_or_else(|failure| {
            count(&self.metrics.failed);
            log("failed", &format!("reason=\"{}\"", failure.to_string().replace('"', "'")));
            Response::empty(ResponseType::ServiceUnavailable)
        });
        if matches!(response.code, ResponseType::BadRequest | ResponseType::Forbidden) {
            count(&self.metrics.refused);
        }
        let number = wanted.map_or(0, |block| block.number);
        encode(&request, &response, block1, number, size)
    }

    /// One step. [`Failure::Overtaken`]: again, from the beginning.
    async fn serve(
        &self,
        method: RequestType,
        path: &[&str],
        payload: &[u8],
        wanted: Option<Block>,
        (from, receives): (SocketAddr, bool),
    ) -> Result<Response, Failure> {
        let mut step = self.database.step();
        match (method, path) {
            (RequestType::Post, [net::PROVISION]) if !receives && self.is_busy()? => {
                count(&self.metrics.echoes);
                let echo = Some(self.baker()?.bake(from.to_string().as_bytes(), payload, Self::calendar()).to_vec());
                Ok(Response { echo, ..Response::empty(ResponseType::Unauthorized) })
            }
            (RequestType::Post, [net::PROVISION]) => self.begin(payload, step).await,
            (RequestType::Post, [SESSION, id]) => match wanted {
                Some(block) if block.number > 0 => Self::more(id, step).await,
                _ => self.go_on(id, payload, step).await,
            },
            (RequestType::Post, [net::ATTACH]) => {
                let Some(supi) = str::from_utf8(payload).ok().and_then(|digits| digits.parse::<Supi>().ok()) else {
                    return Ok(Response::empty(ResponseType::BadRequest));
                };
                let response = self.challenge(&supi, None, &mut step).await?;
                step.land(true).await.map(|()| response)
            }
            (RequestType::Post, [CHALLENGE, id]) => self.attach_answer(id, payload, step).await,
            // Nobody else's business, and far more than three times the request.
            (RequestType::Get, [net::METRICS]) if from.ip().is_loopback() => {
                Ok(Response::new(ResponseType::Content, self.metrics.line().into_bytes()))
            }
            _ => Ok(Response::empty(ResponseType::NotFound)),
        }
    }

    /// Blocks of a message wait in memory, for as long as they are under way: few, and not for long.
    fn reassemble(&self, request: &Packet, block: Block, from: SocketAddr) -> Result<Progress, ResponseType> {
        let token = request.get_token().iter().fold(0, |token, byte| token << 8 | u64::from(*byte));
        let total = request.get_first_option(CoapOption::Size1).map(|bytes| number(bytes));
        let now = self.now();
        let mut partial = self.partial.lock().map_err(|_| ResponseType::InternalServerError)?;
        if partial.len() >= MAX_PARTIAL {
            partial.retain(|_, message| message.until().is_some_and(|until| until > now));
        }
        if partial.len() >= MAX_PARTIAL {
            return Err(ResponseType::ServiceUnavailable);
        }
        let message = partial.entry((from, token)).or_insert_with(|| Reassembler::new(BLOCKS_PATIENCE));
        let progress = message.accept_block(token, block, total, &request.payload, now);
        if message.until().is_none() {
            partial.remove(&(from, token));
        }
        progress.map_err(|error| match error {
            Error::Malformed(_) => ResponseType::RequestEntityTooLarge,
            // Another server has the first blocks, or nobody any more.
            _ => ResponseType::RequestEntityIncomplete,
        })
    }

    // ------------------------------------------------------------------------------------------ provisioning

    /// message_1.
    async fn begin(&self, message: &[u8], mut step: Step<'_>) -> Result<Response, Failure> {
        let mut operator = Operator::new(self.config.clone());
        let gone = self.go(&mut operator, message, &mut step).await?;
        let Some(answer) = gone.answer else { return Ok(Response::empty(ResponseType::BadRequest)) };
        // Refused, or asked for another suite: that is a new message_1.
        if gone.ended.is_some() || edhoc::is_error_message(&answer) {
            return Ok(Response::new(ResponseType::BadRequest, answer));
        }
        let id = self.session_id()?;
        step.add(Table::Sessions, id.clone(), self.seal(&operator, &answer)?);
        step.land(false).await?;
        count(&self.metrics.sessions);
        let location = Some([SESSION.into(), id]);
        Ok(Response { location, ..Response::new(ResponseType::Created, answer) })
    }

    /// Whether more sessions have begun in this second than a server takes from strangers.
    fn is_busy(&self) -> Result<bool, Failure> {
        let date = net::today().0;
        let mut pace = self.pace.lock().map_err(|_| Failure::Broken("a thread has panicked".into()))?;
        *pace = if pace.0 == date { (date, pace.1 + 1) } else { (date, 1) };
        Ok(pace.1 > self.calm)
    }

    /// Whether the request has a cookie that was made for this message and this address.
    fn shows_address(&self, request: &Packet, message: &[u8], from: SocketAddr) -> bool {
        let shown = request.get_first_option(CoapOption::Unknown(net::ECHO));
        let check = |cookie: &Vec<u8>| {
            let baker = self.baker().ok()?;
            baker.check(cookie, from.to_string().as_bytes(), message, Self::calendar()).ok()
        };
        shown.and_then(check).is_some()
    }

    fn baker(&self) -> Result<Baker<'_>, Misuse> {
        Baker::new(&self.cookie_key, COOKIE_LIFETIME)
    }

    /// What cookies go by: the servers share the calendar, and no other clock.
    fn calendar() -> Millis {
        Millis(net::today().0.saturating_mul(1_000))
    }

    /// Any other message of a session.
    async fn go_on(&self, id: &str, message: &[u8], mut step: Step<'_>) -> Result<Response, Failure> {
        let Some(row) = step.get(Table::Sessions, id).await? else {
            return Ok(Response::empty(ResponseType::NotFound));
        };
        let waiting: Waiting = from_cbor(row)?;
        let (config, today) = (self.config.clone(), net::today());
        let opened = Operator::open(config, &waiting.token, &self.token_key, today, self.now(), &BACKEND);
        // The first to use it, because of several who open it only one will land.
        let Ok(mut operator) = opened.and_then(|opened| opened.first_use(true)) else {
            return Ok(Response::empty(ResponseType::NotFound));
        };
        // Opening it has set the timer, which the token's date stands for.
        while operator.poll().is_some() {}
        let gone = self.go(&mut operator, message, &mut step).await?;
        let response = match &gone.answer {
            // A no under the session's keys is an answer as any other.
            Some(answer) => Response::new(ResponseType::Changed, answer.clone()),
            None if gone.ended.is_some() => Response::empty(ResponseType::Forbidden),
            None => return Ok(Response::empty(ResponseType::BadRequest)),
        };
        // The same once more changes nothing.
        if gone.ended.is_some() || response.payload != waiting.answer {
            step.put(Table::Sessions, id, self.seal(&operator, &response.payload)?).await?;
            step.land(true).await?;
        }
        if let Some(Err(error)) = gone.ended {
            log("ended", &format!("session={id} reason=\"{error}\""));
        }
        Ok(response)
    }

    /// The answer once more, for a later block of it.
    async fn more(id: &str, mut step: Step<'_>) -> Result<Response, Failure> {
        let Some(row) = step.get(Table::Sessions, id).await? else {
            return Ok(Response::empty(ResponseType::NotFound));
        };
        Ok(Response::new(ResponseType::Changed, from_cbor::<Waiting>(row)?.answer))
    }

    /// Hands the machine a message, and answers until it waits for the next one.
    async fn go(&self, operator: &mut Operator, message: &[u8], step: &mut Step<'_>) -> Result<Gone, Failure> {
        let now = self.now();
        // An error that ends the machine comes as an action too; any other is of bytes that were not the device's.
        let _ = self.at_desk(|desk| operator.handle_message(message, now, desk));
        let mut gone = Gone { answer: None, ended: None };
        while let Some(action) = operator.poll() {
            match action {
                operator::Action::Send(bytes) => {
                    count(&self.metrics.answered);
                    gone.answer = Some(bytes);
                }
                operator::Action::Ask(question) => {
                    let answer = self.office.answer(question, step).await?;
                    let _ = self.at_desk(|desk| operator.answer(answer, desk));
                }
                operator::Action::Finished(result) => gone.ended = Some(result),
                operator::Action::WakeAt(_) => {}
            }
        }
        Ok(gone)
    }

    fn at_desk<T>(&self, work: impl FnOnce(&mut Desk<'_>) -> T) -> T {
        work(&mut Desk {
            crypto: &BACKEND,
            rng: &mut SystemRandom,
            keys: &self.keys,
            storage: &self.storage,
            anchors: &self.anchors,
            date: net::today(),
        })
    }

    fn seal(&self, operator: &Operator, answer: &[u8]) -> Result<Vec<u8>, Failure> {
        let seal = Seal { key: &self.token_key, expires: Date(net::today().0 + PATIENCE) };
        let token = operator.seal(&seal, &BACKEND, &mut SystemRandom)?;
        to_cbor(&Waiting { token, answer: answer.to_vec() })
    }

    /// Begins with the second in which the row may go, so that those rows come first.
    fn session_id(&self) -> Result<String, Failure> {
        Ok(format!("{:08x}{}", net::today().0 + 2 * PATIENCE, hex(&net::random::<10>()?)))
    }

    /// Lets rows go whose time is over.
    pub(crate) async fn sweep(&self) -> Result<usize, Failure> {
        let (end, mut gone) = (format!("{:08x}", net::today().0), 0);
        loop {
            let mut step = self.database.step();
            let ids = step.keys(Table::Sessions, "", &end, 256).await?;
            if ids.is_empty() {
                return Ok(gone);
            }
            for id in &ids {
                step.delete(Table::Sessions, id).await?;
            }
            match step.land(false).await {
                Ok(()) => gone += ids.len(),
                // Another server does it.
                Err(Failure::Overtaken) => {}
                Err(broken) => return Err(broken),
            }
        }
    }

    // ------------------------------------------------------------------------------------------ attaching

    async fn challenge(
        &self,
        supi: &Supi,
        failed: Option<(&[u8; 16], &[u8; 14])>,
        step: &mut Step<'_>,
    ) -> Result<Response, Failure> {
        // With a core that is elsewhere a device attaches there.
        let CoreNetwork::Table(core) = &self.office.core else { return Ok(Response::empty(ResponseType::NotFound)) };
        let Some((challenge, xres)) = core.challenge(supi, failed, step).await? else {
            return Ok(Response::empty(ResponseType::Forbidden));
        };
        let hash = BACKEND.sha256(&[&challenge.rand, &xres]);
        let row = Challenged { supi: supi.as_str().into(), rand: challenge.rand, hash, attached: false };
        let id = self.session_id()?;
        step.add(Table::Sessions, id.clone(), to_cbor(&row)?);
        let payload = [challenge.rand, challenge.autn].concat();
        let location = Some([CHALLENGE.into(), id]);
        Ok(Response { location, ..Response::new(ResponseType::Created, payload) })
    }

    /// RES, or AUTS.
    async fn attach_answer(&self, id: &str, payload: &[u8], mut step: Step<'_>) -> Result<Response, Failure> {
        let Some(row) = step.get(Table::Sessions, id).await? else {
            return Ok(Response::empty(ResponseType::NotFound));
        };
        let mut row: Challenged = from_cbor(row)?;
        let supi: Supi = row.supi.parse()?;
        let response = match payload {
            [net::RES, res @ ..] if BACKEND.sha256(&[&row.rand, res]) == row.hash => {
                // A device that asks again is told again, and counts once.
                if !row.attached {
                    row.attached = true;
                    step.put(Table::Sessions, id, to_cbor(&row)?).await?;
                    if let CoreNetwork::Table(core) = &self.office.core {
                        core.attached(&supi, &mut step).await?;
                    }
                    let metrics = Arc::clone(&self.metrics);
                    step.when_landed(move || count(&metrics.attached));
                }
                Response::empty(ResponseType::Changed)
            }
            [net::AUTS, auts @ ..] if !row.attached => match auts.try_into() {
                Ok(auts) => self.challenge(&supi, Some((&row.rand, auts)), &mut step).await?,
                Err(_) => Response::empty(ResponseType::BadRequest),
            },
            _ => Response::empty(ResponseType::Forbidden),
        };
        step.land(true).await.map(|()| response)
    }
}

// ---------------------------------------------------------------------------------------------- CoAP

/// An unsigned option (RFC 7252 §3.2).
fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

fn option_block(request: &Packet, option: CoapOption) -> Result<Option<Block>, ()> {
    request.get_first_option(option).map(|value| Block::read(value).map_err(|_| ())).transpose()
}

/// A response of one block.
fn respond(request: &Packet, response: &Response, block1: Option<Block>, size: BlockSize) -> Option<Vec<u8>> {
    encode(request, response, block1, 0, size)
}

/// Piggybacked on the acknowledgement (RFC 7252 §5.2.1), block `number` of it.
fn encode(
    request: &Packet,
    response: &Response,
    block1: Option<Block>,
    number: u32,
    size: BlockSize,
) -> Option<Vec<u8>> {
    let mut packet = Packet::new();
    packet.header.set_type(match request.header.get_type() {
        MessageType::Confirmable => MessageType::Acknowledgement,
        _ => MessageType::NonConfirmable,
    });
    packet.header.message_id = request.header.message_id;
    packet.header.code = MessageClass::Response(response.code);
    packet.set_token(request.get_token().to_vec());
    if let Some(block1) = block1 {
        packet.add_option(CoapOption::Block1, block1.write().ok()?);
    }
    for part in response.location.iter().flatten() {
        packet.add_option(CoapOption::LocationPath, part.clone().into_bytes());
    }
    if let Some(echo) = &response.echo {
        packet.add_option(CoapOption::Unknown(net::ECHO), echo.clone());
    }
    let (block, payload, total) = block(&response.payload, number, size).ok()?;
    if block.more || block.number > 0 {
        packet.add_option(CoapOption::Block2, block.write().ok()?);
    }
    if let Some(total) = total {
        let bytes = total.to_be_bytes();
        packet.add_option(CoapOption::Size2, bytes.into_iter().skip_while(|byte| *byte == 0).collect());
    }
    packet.payload = payload.to_vec();
    packet.to_bytes().ok()
}
