//! One attempt: the machine says what to send, the link brings the answer, until the machine has ended.

use std::error::Error as StdError;

use remote_provisioning::{
    Device, Millis,
    credential::SoftUsim,
    crypto::rustcrypto::RustCrypto,
    error::Error,
    provisioning::{
        Platform,
        device::{self, Goal},
    },
    store::SubscriptionStore,
};

use crate::{
    factory::Made,
    link::{Link, Trouble},
    net::{self, SystemRandom},
};

/// How an attempt ended.
pub(crate) struct Outcome {
    pub(crate) result: Result<(), Error>,
    /// From when on another one makes sense, if it does.
    pub(crate) again: Option<Millis>,
}

/// Runs an attempt. `tell` hears what a person wants to know.
///
/// # Errors
/// If it does not start, or the socket fails.
pub(crate) fn attempt(
    made: &Made,
    store: &mut dyn SubscriptionStore,
    link: &mut Link,
    goal: Goal,
    tell: &mut dyn FnMut(&str),
) -> Result<Outcome, Box<dyn StdError>> {
    let mut rng = SystemRandom;
    let mut platform = Platform {
        crypto: &RustCrypto,
        rng: &mut rng,
        keys: &made.keys,
        anchors: &made.anchors,
        attester: Some(&made.attestation),
        subscriptions: store,
        usim: &mut SoftUsim,
        date: Some(net::today()),
    };
    let mut device = Device::start(made.config.clone(), goal, link.now(), &mut platform)?;
    let (mut path, mut wake, mut again) = (vec![net::PROVISION.to_owned()], link.now(), None);
    loop {
        let Some(action) = device.poll() else {
            // Nothing came, and the link has asked as often as makes sense. The end comes as an action.
            let _ = device.handle_timeout(wake);
            continue;
        };
        match action {
            device::Action::Send(message) => {
                tell(&format!("device ──▶ server  {:>5} B", message.len()));
                let answer = match link.post(&path, &message) {
                    Ok(answer) => answer,
                    Err(Trouble::Socket(error)) => return Err(error.into()),
                    Err(trouble) => {
                        tell(&format!("                   {trouble}"));
                        continue;
                    }
                };
                tell(&format!("device ◀── server  {:>5} B  {:?}", answer.payload.len(), answer.code));
                path = answer.location.unwrap_or(path);
                // Nothing: the server has nothing of this session, or nothing to say to an error.
                if !answer.payload.is_empty()
                    && let Err(error) = device.handle_message(&answer.payload, link.now(), &mut platform)
                {
                    tell(&format!("                   {error}"));
                }
            }
            device::Action::WakeAt(moment) => wake = moment,
            device::Action::StartAgainAt(moment) => again = Some(moment),
            device::Action::Authenticated(met) => {
                tell(&format!("                   the operator has proved to be {}", met.operator));
                if met.voucher {
                    tell("                   and the maker's voucher says that it owns this device");
                }
            }
            device::Action::Prepared(it) => {
                tell(&format!(
                    "                   durable beside the one in use: {}, epoch {}",
                    it.id.supi, it.id.epoch
                ));
            }
            device::Action::Installed(it) => {
                tell(&format!("                   durable and in use: {}, epoch {}", it.id.supi, it.id.epoch));
            }
            device::Action::CalledOff => tell("                   what was prepared is gone"),
            device::Action::Erased => tell("                   every credential is gone"),
            device::Action::Told(standing, wanted) => {
                tell(&format!("                   told: {standing:?}, wanted: {wanted:?}"));
            }
            device::Action::Completed { acknowledged } => {
                tell(&format!("                   complete; the operator has the receipts up to {acknowledged}"));
            }
            device::Action::Finished(result) => return Ok(Outcome { result, again }),
        }
    }
}
