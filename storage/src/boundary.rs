//! The steps of a store as trace events, one at each boundary at which a crash may separate two
//! states of the medium. Tests watch the phases of a store, or stop a process at an exact one. Only
//! tests listen to them.
//!
//! Each is an event of level `TRACE` and target [`TARGET`], whose *name* says what has just
//! happened or is about to happen. Without a subscriber that wants it, an event costs a comparison.
//! Names, in the order in which they occur:
//!
//! | name | when |
//! | --- | --- |
//! | `open.durable` | the values that the medium found are synced, and so is a superblock that agrees with them, in the tier that syncs |
//! | `recovery.listed` | all checkpoints are listed |
//! | `recovery.read` | the log is read and judged |
//! | `recovery.announced` | the new incarnation is synced in the log |
//! | `recovery.actor` | an actor is restored in memory; once for each |
//! | `recovery.restored` | all actors are restored, none has begun to handle anything |
//! | `recovery.complete` | the runtime has handled everything that it found, and the log says so |
//! | `commit.begin` | a block is about to be handed to the medium |
//! | `commit.written` | the medium has the block |
//! | `commit.flush` | the block is about to be synced |
//! | `durable.synced` | the block is synced, as far as the tier promises |
//! | `commit.acknowledged` | the superblock says that the block is acknowledged; the committer does not know it yet |
//! | `checkpoint.begin` | checkpoints are about to be written |
//! | `checkpoint.values` | the medium has some of them; once for each step |
//! | `checkpoint.durable` | they are synced, and the superblock does not count them yet |
//! | `checkpoint.verified` | they have been read back |
//! | `checkpoint.listed` | the superblock counts them, and is not synced |
//! | `pack.closed` | a full pack has its index, and the superblock says so |
//! | `pack.copied` | the cleaning has copied checkpoints out of a mostly dead pack |
//! | `pack.dead` | the superblock no longer lists some packs; they are about to be removed |
//! | `checkpoint.removed` | packs in which nothing counts are gone |
//! | `cut.begin` | a cut begins |
//! | `cut.marked` | the superblock says where the log begins from now on, synced in the tier that syncs |
//! | `cut.step` | the medium has removed the part that was cut |
//! | `cut.end` | the cut is over; it is about to return |
//! | `close.begin` | the last job of an opening begins |
//! | `close.end` | the medium is closed |
//!
//! The boundaries of both media in a directory:
//!
//! | name | when |
//! | --- | --- |
//! | `open.format` | the identity file of a store of an older format names today's, synced |
//! | `medium.super.begin` | a superblock is about to be written |
//! | `medium.super.written` | the system has it, in both slots that do not hold the last synced one |
//! | `medium.super.synced` | it is synced, when the call asked for that and in the tier that syncs |
//! | `medium.remove.step` | on files: a file is about to be cut, emptied or removed; on sled: some values are out of its tree |
//!
//! The boundaries of the medium on sled:
//!
//! | name | when |
//! | --- | --- |
//! | `create.begun` | the directory is marked as one in which a medium is being made |
//! | `create.mark` | the file of the superblock stands |
//! | `create.data` | sled's files stand, and are synced |
//! | `create.named` | the file that makes the directory a store is there |
//! | `open.locked` | the lock is held, nothing else is touched |
//! | `open.mark` | the superblock is read |
//! | `open.data` | sled is open: its own recovery is over, and its result is not synced |
//! | `open.format.data` | today's format stands in sled too, where it said an older one; not synced |
//! | `durable.flushed` | sled has handed its data to the operating system |
//! | `durable.synced` | the data are synced, in the tier that syncs |
//!
//! The boundaries of a medium of plain files:
//!
//! | name | when |
//! | --- | --- |
//! | `medium.create.begun` | the directory is marked as one in which a medium is being made |
//! | `medium.create.super` | the file of the superblock stands |
//! | `medium.create.manifest` | the list of segments stands, empty |
//! | `medium.create.named` | the file that makes the directory a store is there |
//! | `medium.open.locked` | the lock is held, nothing else is touched |
//! | `medium.open.read` | all values are found, nothing was changed |
//! | `medium.open.durable` | what was found is synced, in the tier that syncs |
//! | `medium.segment.made` | a segment is ready for its next use, and the list does not name it |
//! | `medium.segment.listed` | the list names it |
//! | `medium.manifest.written` | a new list is written beside the old one |
//! | `medium.manifest.renamed` | the new list stands in the place of the old one |
//! | `medium.manifest.synced` | the new name is synced, in the tier that syncs |
//! | `medium.write.begin` | the values appended to a stream are about to be written |
//! | `medium.write.end` | the system has them |
//! | `medium.synced` | they are synced, in the tier that syncs |
//! | `medium.remove.begin` | a removal of values of a stream begins |
//! | `medium.remove.end` | the removal is over |
//!
//! The boundaries of a conversion, which also reaches those of the media:
//!
//! | name | when |
//! | --- | --- |
//! | `convert.left` | the remains of an earlier conversion are removed |
//! | `convert.begun` | the directory beside that of the store is there, with its lock file |
//! | `convert.created` | an empty store is in it that begins where the old one does |
//! | `convert.block` | some blocks are in it and synced; once for each step |
//! | `convert.checkpoints` | some checkpoints are in it; once for each step |
//! | `convert.copied` | all blocks and checkpoints are in it and synced |
//! | `convert.closed` | both stores are closed |
//! | `convert.verified` | the new store gave back everything that the old one had, and all of it is synced |
//! | `convert.exchange` | the two directories are about to exchange their names |
//! | `convert.exchanged` | they have exchanged their names |
//! | `convert.named` | the exchange is synced |
//! | `convert.emptied` | only the lock file is left of a directory that does not count |
//! | `convert.end` | that directory is gone |

use tracing::{Event, Metadata, Subscriber, span};

/// The target of all boundary events.
pub const TARGET: &str = "relive::boundary";

/// A subscriber that calls a function with the name of each boundary, and ignores every other
/// event.
///
/// # Examples
/// ```
/// use relive_storage::boundary::OnBoundary;
/// use relive_storage::medium::memory::MemoryMedium;
/// use relive_storage::{LayeredOptions, LayeredStore};
///
/// tracing::subscriber::set_global_default(OnBoundary(|name| println!("{name}")))?;
/// LayeredStore::open(|| Ok(Box::new(MemoryMedium::new())), &LayeredOptions::default())?.close()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct OnBoundary<F>(pub F);

impl<F: Fn(&'static str) + Send + Sync + 'static> Subscriber for OnBoundary<F> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == TARGET
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        (self.0)(event.metadata().name());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Emits the event of a boundary.
#[doc(hidden)]
#[macro_export]
macro_rules! boundary {
    ($name:literal) => {
        ::tracing::trace!(name: $name, target: "relive::boundary", $name)
    };
}
