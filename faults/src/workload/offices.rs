//! Reads what clerks and vaults know, once nothing is under way any more: their timers have fired,
//! and the vaults have paid. Changes nothing: it asks queries, and messages that leave no trace in
//! a state.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use relive::{Actor, Answer, AskError, Handle, Query, QueryError, Runtime, Unavailable};

use super::clerk::{Clerk, ClerkState, Drawn, Settle, ShowClerk, ShowVault, VAULT, Vault, VaultState};
use super::failure::reason;
use super::order::{CLERKS, Order, TICKS, vault_of};

/// What clerks and vaults know, without those that have stopped.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) clerks: BTreeMap<String, ClerkState>,
    pub(super) vaults: BTreeMap<bool, VaultState>,
}

/// Asks clerks and vaults, and notes those that have stopped. Waits until nothing is under way, but
/// no longer than [`SETTLED_WITHIN`]: what is still missing then is for the oracle.
///
/// # Errors
/// Any other refusal.
pub(super) async fn offices(
    runtime: &Runtime,
    stopped: &mut BTreeMap<String, String>,
) -> Result<Found, String> {
    for key in (0..CLERKS).map(|key| key.to_string()) {
        settle::<Clerk<false>>(runtime, &key, stopped).await?;
        settle::<Clerk<true>>(runtime, &key, stopped).await?;
    }
    settle::<Vault<false>>(runtime, VAULT, stopped).await?;
    settle::<Vault<true>>(runtime, VAULT, stopped).await?;
    let since = Instant::now();
    loop {
        let found = look(runtime, stopped).await?;
        let whole = found.clerks.len() as u64 == 2 * CLERKS && found.vaults.len() == 2;
        if !whole || found.is_settled() || since.elapsed() > SETTLED_WITHIN {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn look(runtime: &Runtime, stopped: &mut BTreeMap<String, String>) -> Result<Found, String> {
    let mut found = Found::default();
    for key in (0..CLERKS).map(|key| key.to_string()) {
        let clerk = show::<Clerk<false>, _>(runtime, &key, ShowClerk {}, stopped).await?;
        found.clerks.extend(clerk.map(|state| (format!("{}/{key}", Clerk::<false>::KIND), state)));
        let clerk = show::<Clerk<true>, _>(runtime, &key, ShowClerk {}, stopped).await?;
        found.clerks.extend(clerk.map(|state| (format!("{}/{key}", Clerk::<true>::KIND), state)));
    }
    let vault = show::<Vault<false>, _>(runtime, VAULT, ShowVault {}, stopped).await?;
    found.vaults.extend(vault.map(|state| (false, state)));
    let vault = show::<Vault<true>, _>(runtime, VAULT, ShowVault {}, stopped).await?;
    found.vaults.extend(vault.map(|state| (true, state)));
    Ok(found)
}

impl Found {
    /// Whether all timers have fired or are taken away, and the vaults have paid what they were
    /// asked for.
    fn is_settled(&self) -> bool {
        let deeds = self.clerks.values().flat_map(|clerk| &clerk.deeds);
        deeds.into_iter().all(|(number, deed)| {
            let timers = match deed.order {
                Order::Remind(_) => !deed.firings.is_empty(),
                Order::Tick(_) => deed.firings.len() >= TICKS,
                Order::Revoke(..) => deed.revoked.is_some_and(|(_, set)| set || !deed.firings.is_empty()),
                Order::Post(_) => self.vaults[&vault_of(*number)[0]].rung.contains_key(number),
                _ => true,
            };
            let asked = deed.order.draws(*number).iter().zip(&deed.drawn);
            let paid = |(eager, drawn): (&bool, &Drawn)| {
                matches!(drawn, Drawn::Paid(_)) || self.vaults[eager].paid.contains_key(number)
            };
            timers && asked.into_iter().all(paid)
        })
    }
}

async fn settle<A: Handle<Settle>>(
    runtime: &Runtime,
    key: &str,
    stopped: &mut BTreeMap<String, String>,
) -> Result<(), String> {
    let actor = runtime.actor::<A>(key).map_err(|error| format!("{}/{key}: {error}", A::KIND))?;
    match actor.ask(Settle {}).await {
        Ok(()) => Ok(()),
        Err(error) => note(error.unavailable(), stopped).ok_or_else(|| refused::<A, Settle>(&error)),
    }
}

fn refused<A: Actor, M>(error: &AskError<M>) -> String {
    format!("{} was asked to settle: {error}", A::KIND)
}

async fn show<A: Answer<Q>, Q: Query>(
    runtime: &Runtime,
    key: &str,
    query: Q,
    stopped: &mut BTreeMap<String, String>,
) -> Result<Option<Q::Answer>, String> {
    let actor = runtime.actor::<A>(key).map_err(|error| format!("{}/{key}: {error}", A::KIND))?;
    match actor.query(query).await {
        Ok(answer) => Ok(Some(answer)),
        Err(QueryError::Unavailable(unavailable)) if note(Some(&unavailable), stopped).is_some() => Ok(None),
        Err(error) => Err(format!("a query of {}/{key}: {error}", A::KIND)),
    }
}

/// Notes an actor that has stopped; `None` for any other refusal.
fn note(unavailable: Option<&Unavailable>, stopped: &mut BTreeMap<String, String>) -> Option<()> {
    let Some(Unavailable::Actor(failure)) = unavailable else { return None };
    stopped.insert(failure.actor.to_string(), reason(failure));
    Some(())
}

/// After this time what is under way counts as lost. Far above what a busy machine takes.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);
