//! At the network: what a device attaches with, and how it answers.

use super::{
    Subscription,
    durable::{Durable, Stage},
};
use crate::{
    aka::{Answer, Challenge},
    credential::Usim,
    crypto::SecretBytes,
    error::{Backend, Error, Misuse},
    store::{SlotChange, SubscriptionStore},
};

/// What a device's store says it has: the newest subscription that it may use, and whether the operator has said that this
/// is complete. `None` on a device without one.
///
/// # Errors
/// [`Backend::Store`].
pub fn subscription(subscriptions: &dyn SubscriptionStore) -> Result<Option<(Subscription, bool)>, Backend> {
    let durable = Durable::load(subscriptions)?;
    Ok(durable.active.as_deref().map(|active| (active.into(), durable.stage() != Some(Stage::Activated))))
}

/// The subscription to attach with: the newest; unless attaching with it has failed three times while the one before is still
/// there, which then gets its turn.
///
/// # Errors
/// [`Backend::Store`].
pub fn in_use(subscriptions: &dyn SubscriptionStore) -> Result<Option<Subscription>, Backend> {
    Ok(Durable::load(subscriptions)?.in_use().map(Into::into))
}

/// The network did not let the device attach with the subscription in use. Counts only while there is another one to fall back
/// to, and is durable then; by attempts, because a device may not have a clock.
///
/// # Errors
/// [`Backend::Store`].
pub fn attach_failed(subscriptions: &mut dyn SubscriptionStore) -> Result<(), Backend> {
    let mut durable = Durable::load(subscriptions)?;
    if durable.before().is_none() {
        return Ok(());
    }
    durable.failures = durable.failures.wrapping_add(1);
    durable.commit(&[], subscriptions)
}

/// Answers a challenge of the network with the subscription in use, under whichever of its keys it was made. The SQN is
/// durable before the answer is returned.
///
/// # Errors
/// [`Misuse::NotNow`] without a subscription; [`Backend`]. A slot that the USIM cannot use any more is no reason not to try the
/// other one: the error is returned if that one does not answer either.
pub fn authenticate(
    challenge: &Challenge,
    subscriptions: &mut dyn SubscriptionStore,
    usim: &mut dyn Usim,
) -> Result<Answer, Error> {
    let durable = Durable::load(subscriptions)?;
    let mut refused = Err(Misuse::NotNow("the device has no subscription").into());
    let mut damaged = None;
    for held in durable.answering() {
        let content: SecretBytes = subscriptions.slot(held.slot)?.ok_or(Backend::Store)?;
        let (answer, content) = match usim.authenticate(held.slot, &content, challenge) {
            Ok(answered) => answered,
            Err(error) => {
                damaged = Some(error);
                continue;
            }
        };
        if let Some(content) = content {
            durable.commit(&[SlotChange::Write(held.slot, &content)], subscriptions)?;
        }
        if !matches!(answer, Answer::MacFailure) {
            return Ok(answer);
        }
        refused = Ok(answer);
    }
    damaged.map_or(refused, |error| Err(error.into()))
}
