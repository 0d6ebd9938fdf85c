//! Computes the actors of a closed store from the very start of its log, without checkpoints: their
//! states must not depend on where checkpoints were taken. Works only for a store that has never
//! cut its log.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use relive::{Actor, ActorId, Durability};
use relive_replay::{Instance, Kind, KindBuilder, Reel, Tape, restore};
use relive_storage::{Log, Lsn, Store, StoreOptions};
use relive_storage_sled::open_store;

use super::actors::{Account, Audit, Summary, register_account, register_audit, register_summary};
use super::clerk::{Clerk, Vault, register_clerk, register_vault};
use super::readback::Readback;
use super::trial::{Trial, register_trial};

/// Replays all actors of a closed store, and compares each with the readback `found`. Returns the
/// number of replayed deliveries.
///
/// # Errors
/// An actor that differs, or a store that can't be read.
pub fn replay(store: &Path, found: &Readback) -> Result<u64, String> {
    let options = StoreOptions::default().durability(Durability::ProcessCrash);
    let store = open_store(store, &options).map_err(|error| error.to_string())?;
    let extent = store.extent().map_err(|error| error.to_string())?;
    if extent.start != Lsn::FIRST {
        return Err(format!("the log begins at {}: it was cut", extent.start));
    }
    let mut deliveries = 0;
    for (actor, mut tape) in tapes(&store)? {
        let kind = kind_of(&actor)?;
        let restored = restore(&kind, &actor, extent.store, None, &mut tape, None);
        let restored = restored.map_err(|halt| format!("{actor}, from the start of the log: {halt}"))?;
        if let Some(rsn) = restored.unfinished {
            return Err(format!("{actor}, from the start of the log: {rsn} is not complete"));
        }
        deliveries += restored.replayed;
        if !is_as_found(&actor, &restored.instance, found) {
            return Err(format!(
                "{actor} is not what its log makes of it from the start, without checkpoints"
            ));
        }
    }
    store.close().map_err(|error| error.to_string())?;
    Ok(deliveries)
}

/// The records of each actor.
fn tapes(store: &dyn Store) -> Result<BTreeMap<ActorId, Tape>, String> {
    let mut read: BTreeMap<ActorId, (Tape, Reel)> = BTreeMap::new();
    let mut at = Lsn::FIRST;
    while let Some(stored) = store.read(at).map_err(|error| error.to_string())? {
        let block = stored.block.map_err(|what| format!("the block at {}: {what}", stored.first))?;
        for frame in block.frames() {
            let frame = frame.map_err(|malformed| format!("the block at {}: {malformed}", stored.first))?;
            let Some(actor) = frame.actor.clone() else { continue };
            let (tape, reel) = read.entry(actor).or_default();
            reel.push(tape, frame);
        }
        at = block.header().next();
    }
    let whole = read.into_iter().map(|(actor, (tape, reel))| match reel.end() {
        Ok(()) => Ok((actor, tape)),
        Err(corrupt) => Err(corrupt.of(&actor).to_string()),
    });
    whole.collect()
}

fn kind_of(actor: &ActorId) -> Result<Arc<dyn Kind>, String> {
    let kind = match actor.kind() {
        "account" => register_account(KindBuilder::new()).build(),
        "audit" => register_audit(KindBuilder::new()).build(),
        "summary" => register_summary(KindBuilder::new()).build(),
        "trial" => register_trial(KindBuilder::new()).build(),
        "clerk" => register_clerk::<false>(KindBuilder::new()).build(),
        "eager-clerk" => register_clerk::<true>(KindBuilder::new()).build(),
        "vault" => register_vault::<false>(KindBuilder::new()).build(),
        "eager-vault" => register_vault::<true>(KindBuilder::new()).build(),
        other => return Err(format!("{other} is no kind of the workload")),
    };
    kind.map_err(|error| error.to_string())
}

fn is_as_found(actor: &ActorId, instance: &Instance, found: &Readback) -> bool {
    let key = actor.key().parse::<usize>().unwrap_or(usize::MAX);
    let clerk = found.clerks.get(&actor.to_string());
    match actor.kind() {
        "account" => same(instance.state::<Account>(), found.accounts.get(key)),
        "audit" => same(instance.state::<Audit>(), found.audits.get(key)),
        "trial" => same(instance.state::<Trial>(), found.trials.get(actor.key())),
        "clerk" => same(of(instance, |clerk: &Clerk<false>| &clerk.state), clerk),
        "eager-clerk" => same(of(instance, |clerk: &Clerk<true>| &clerk.state), clerk),
        "vault" => same(of(instance, |vault: &Vault<false>| &vault.state), found.vaults.get(&false)),
        "eager-vault" => same(of(instance, |vault: &Vault<true>| &vault.state), found.vaults.get(&true)),
        _ => same(instance.state::<Summary>(), Some(&found.summary)),
    }
}

fn of<A: Actor, S>(instance: &Instance, state: impl Fn(&A) -> &S) -> Option<&S> {
    instance.state::<A>().map(state)
}

fn same<T: PartialEq>(computed: Option<&T>, found: Option<&T>) -> bool {
    computed.is_some() && computed == found
}
