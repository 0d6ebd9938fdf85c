//! All actors of a runtime by name, and their kinds. An actor gets its cell when a caller first
//! refers to it, or with its first message.
//!
//! Knows cells, and which actors need the log; no committer, no turn.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use relive_replay::Kind;
use relive_storage::record::Sender;
use relive_storage::{ActorId, Ssn};

use crate::actor::cell::ActorCell;
use crate::actor::wait_graph::WaitGraph;
use crate::backpressure::Backpressure;
use crate::retention::pin_index::PinIndex;
use crate::sync::Rank;

/// The registered actor types, by name.
pub(crate) type Kinds = BTreeMap<&'static str, Arc<dyn Kind>>;

/// The actors of a runtime.
pub(crate) struct ActorTable {
    kinds: Kinds,
    cells: DashMap<ActorId, Arc<ActorCell>>,
    pin_index: Arc<PinIndex>,
    backpressure: Arc<Backpressure>,
    /// The last unacknowledged message of each channel at the opening of the store. Its sender sent
    /// it in an earlier life.
    found_unacknowledged: OnceLock<BTreeMap<(ActorId, ActorId), Ssn>>,
    wait_graph: Arc<WaitGraph>,
}

impl ActorTable {
    pub(crate) fn new(kinds: Kinds, pin_index: Arc<PinIndex>, backpressure: Arc<Backpressure>) -> Self {
        let (cells, found_unacknowledged) = (DashMap::new(), OnceLock::new());
        let wait_graph = Arc::new(WaitGraph::new());
        Self { kinds, cells, pin_index, backpressure, found_unacknowledged, wait_graph }
    }

    pub(crate) fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// Which handlers wait for which actors.
    pub(crate) fn wait_graph(&self) -> &Arc<WaitGraph> {
        &self.wait_graph
    }

    /// Which actors need which part of the log.
    pub(crate) fn pin_index(&self) -> &Arc<PinIndex> {
        &self.pin_index
    }

    /// The cell of an actor; makes one if the actor has none. `None` when its kind is not
    /// registered.
    pub(crate) fn get_or_insert(&self, id: &ActorId) -> Option<Arc<ActorCell>> {
        if let Some(cell) = self.get(id) {
            return Some(cell);
        }
        let kind = self.kinds.get(id.kind())?;
        // `entry` looks again, under the lock of the shard: another thread may have made the cell.
        let _held = Rank::Table.enter();
        let cell = self.cells.entry(id.clone());
        Some(Arc::clone(&cell.or_insert_with(|| self.new_cell(id.clone(), kind))))
    }

    /// A cell that is not in the table yet.
    pub(crate) fn new_cell(&self, id: ActorId, kind: &Arc<dyn Kind>) -> Arc<ActorCell> {
        let (pin_index, backpressure) = (Arc::clone(&self.pin_index), Arc::clone(&self.backpressure));
        Arc::new(ActorCell::new(id, Arc::clone(kind), pin_index, backpressure))
    }

    /// The cell of an actor, if it has one.
    pub(crate) fn get(&self, id: &ActorId) -> Option<Arc<ActorCell>> {
        let _held = Rank::Table.enter();
        self.cells.get(id).map(|cell| Arc::clone(&cell))
    }

    /// Adds the cell of a restored actor.
    pub(crate) fn insert(&self, cell: Arc<ActorCell>) {
        let _held = Rank::Table.enter();
        self.cells.insert(cell.id.clone(), cell);
    }

    /// All cells as they are now.
    pub(crate) fn all(&self) -> Vec<Arc<ActorCell>> {
        let _held = Rank::Table.enter();
        self.cells.iter().map(|entry| Arc::clone(entry.value())).collect()
    }

    /// How many cells there are.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }

    /// How many actors are in memory; all others are passive.
    pub(crate) fn in_memory(&self) -> usize {
        let _held = Rank::Table.enter();
        self.cells.iter().filter(|cell| cell.is_in_memory()).count()
    }

    /// Removes the cells to which nothing else refers, if the removal loses nothing of the actor.
    pub(crate) fn forget_unused(&self) {
        let _held = Rank::Table.enter();
        // The shard's lock is held: a cell with one reference gets no second one during the look.
        self.cells.retain(|_, cell| Arc::strong_count(cell) > 1 || !cell.is_forgettable());
    }

    /// Remembers the messages that were unacknowledged at the opening of the store: sender,
    /// receiver and number, in order within each channel, so that the last number of each channel
    /// stays.
    ///
    /// # Panics
    /// When it is called twice: there is one opening.
    pub(crate) fn found(&self, unacknowledged: impl IntoIterator<Item = ((ActorId, ActorId), Ssn)>) {
        let first = self.found_unacknowledged.set(unacknowledged.into_iter().collect());
        assert!(first.is_ok(), "what was unacknowledged at the opening is set once");
    }

    /// Whether a message was sent in an earlier life, and was unacknowledged at the opening of the
    /// store.
    pub(crate) fn was_found(&self, receiver: &ActorId, sender: &Sender) -> bool {
        let Sender::Actor { id, ssn } = sender else { return false };
        let found = self.found_unacknowledged.get().filter(|found| !found.is_empty());
        found.is_some_and(|found| found.get(&(id.clone(), receiver.clone())).is_some_and(|last| ssn <= last))
    }
}

#[cfg(test)]
mod tests {
    use relive_replay::{Actor, KindBuilder};
    use relive_storage::Lsn;
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::retention::passive_pins::PassivePins;

    #[derive(Serialize, Deserialize)]
    struct Account;

    impl Actor for Account {
        const KIND: &'static str = "account";

        fn create(_: &str) -> Self {
            Self
        }
    }

    fn id(key: &str) -> ActorId {
        ActorId::new("account", key).unwrap()
    }

    fn table() -> ActorTable {
        let kind = KindBuilder::<Account>::new().build().unwrap();
        let pin_index = Arc::new(PinIndex::new(PassivePins::default()));
        ActorTable::new(Kinds::from([(kind.name(), kind)]), pin_index, Backpressure::none())
    }

    #[test]
    fn an_actor_has_one_cell_and_an_unknown_kind_none() {
        let table = table();
        assert!(table.get(&id("alice")).is_none());
        let cell = table.get_or_insert(&id("alice")).unwrap();
        assert!(Arc::ptr_eq(&cell, &table.get_or_insert(&id("alice")).unwrap()));
        assert!(Arc::ptr_eq(&cell, &table.get(&id("alice")).unwrap()));
        assert!(table.get_or_insert(&ActorId::new("teller", "bob").unwrap()).is_none());
        assert_eq!((table.len(), table.in_memory()), (1, 0));
    }

    /// Invariant: checkpoint-covers-log. An actor that needs a part of the log keeps its cell,
    /// which records that need.
    #[test]
    fn a_cell_goes_when_nobody_has_it_and_its_actor_needs_no_log() {
        let table = table();
        let held = table.get_or_insert(&id("held")).unwrap();
        let pinned = table.get_or_insert(&id("pinned")).unwrap();
        pinned.change_pins(|pins| pins.placed(Lsn::new(7)));
        drop(pinned);
        drop(table.get_or_insert(&id("unused")));
        table.forget_unused();
        let mut left: Vec<_> = table.all().iter().map(|cell| cell.id.clone()).collect();
        left.sort_unstable();
        assert_eq!(left, [id("held"), id("pinned")]);
        assert_eq!(table.pin_index().first(), Some(Lsn::new(7)));
        drop(held);
        table.forget_unused();
        assert_eq!(table.len(), 1);
    }

    #[test]
    fn what_was_found_is_known_up_to_the_last_of_its_channel() {
        let table = table();
        let sent = |ssn| Sender::Actor { id: id("alice"), ssn: Ssn::new(ssn) };
        assert!(!table.was_found(&id("bob"), &sent(1)));
        let channel = || (id("alice"), id("bob"));
        table.found([(channel(), Ssn::new(3)), (channel(), Ssn::new(4))]);
        assert!(table.was_found(&id("bob"), &sent(4)));
        assert!(!table.was_found(&id("bob"), &sent(5)));
        assert!(!table.was_found(&id("alice"), &sent(4)));
        assert!(!table.was_found(&id("bob"), &Sender::Outside));
    }
}
