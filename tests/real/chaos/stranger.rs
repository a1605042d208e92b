//! Somebody who sends message_1 from an address that is another one's.

use std::{net::UdpSocket, time::Duration};

use coap_lite::{CoapOption, MessageClass, MessageType, Packet, RequestType, ResponseType};
use remote_provisioning::{
    Device, Millis,
    credential::SoftUsim,
    crypto::rustcrypto::RustCrypto,
    edhoc::OwnCredential,
    framing::{coap::Block, cookie::AMPLIFICATION},
    identity::Domain,
    provisioning::{
        Platform,
        device::{Action, Config, Goal, Introduction},
    },
    sim::{IDENTITY, SeededRng, identities, maker},
    store::memory::{MemoryKeyStore, MemoryStore},
};

use crate::processes::{Folder, Server};

/// The Echo option (RFC 9175 §2.2.1).
const ECHO: CoapOption = CoapOption::Unknown(252);

/// The message_1 of the device that the published identities are of.
fn message_1() -> Vec<u8> {
    let mut keys = MemoryKeyStore::new();
    keys.insert(IDENTITY, identities::device_key()).unwrap();
    let own = OwnCredential::chain(IDENTITY, &identities::device_chain()).unwrap();
    let introduction = Introduction::VoucherFirst(maker::home_key().unwrap());
    let config = Config::new(own, maker::device_name().unwrap(), Domain::Test, introduction);
    let mut platform = Platform {
        crypto: &RustCrypto,
        rng: &mut SeededRng::new(1),
        keys: &keys,
        anchors: &identities::factory_anchors(),
        attester: None,
        subscriptions: &mut MemoryStore::new(),
        usim: &mut SoftUsim,
        date: None,
    };
    let mut device = Device::start(config, Goal::Provision, Millis(0), &mut platform).unwrap();
    match device.poll() {
        Some(Action::Send(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// Sends a request; the lengths of both, and the response.
fn ask(socket: &UdpSocket, server: &Server, message: &[u8], echo: Option<Vec<u8>>) -> (usize, usize, Packet) {
    let mut request = Packet::new();
    request.header.set_type(MessageType::Confirmable);
    request.header.code = MessageClass::Request(RequestType::Post);
    request.set_token(vec![7; 8]);
    request.add_option(CoapOption::UriPath, b"rcp".to_vec());
    if let Some(echo) = echo {
        request.add_option(ECHO, echo);
    }
    request.payload = message.to_vec();
    let (request, mut buffer) = (request.to_bytes().unwrap(), [0; 2_048]);
    socket.send_to(&request, server.address()).unwrap();
    let len = socket.recv(&mut buffer).unwrap();
    (request.len(), len, Packet::from_bytes(&buffer[..len]).unwrap())
}

fn more_follows(response: &Packet) -> bool {
    response.get_first_option(CoapOption::Block2).is_some_and(|block| Block::read(block).unwrap().more)
}

#[test]
fn gets_at_most_three_times_what_it_sent() {
    let folder = Folder::new("stranger");
    let path = folder.path().join("operator.redb");
    let mut server = Server::new(&folder, "only", path.to_str().unwrap(), 10, "shared");
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let message = message_1();

    for echo in [None, Some(vec![1; 17])] {
        let (sent, came, response) = ask(&socket, &server, &message, echo);
        assert_eq!(response.header.code, MessageClass::Response(ResponseType::Created));
        assert!(came <= AMPLIFICATION * sent && more_follows(&response), "{came} bytes for {sent}");
    }

    // A server with much to do makes no session for it; the cookie is for this address and this message.
    server.calm = 0;
    server.kill_and_start();
    let (_, _, response) = ask(&socket, &server, &message, Some(vec![1; 17]));
    assert_eq!(response.header.code, MessageClass::Response(ResponseType::Unauthorized));
    let cookie = response.get_first_option(ECHO).unwrap().clone();
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    elsewhere.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (_, _, response) = ask(&elsewhere, &server, &message, Some(cookie.clone()));
    assert_eq!(response.header.code, MessageClass::Response(ResponseType::Unauthorized));
    let (_, came, response) = ask(&socket, &server, &message, Some(cookie));
    assert_eq!(response.header.code, MessageClass::Response(ResponseType::Created));
    assert!(came > 1_024, "a long block for who receives: {came} bytes");
}
