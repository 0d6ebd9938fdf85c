//! The boundaries between what has happened to the medium and what has not, as trace events: for whoever wants to see the
//! phases of a store go by, or to stop a process at an exact one. Nothing in the project listens to them but tests.
//!
//! Each is an event of level `TRACE` and target [`TARGET`], whose *name* says what has just happened or is about to
//! happen. Without a subscriber that wants them they cost a comparison. Names, in the order in which they occur:
//!
//! | name | when |
//! | --- | --- |
//! | `open.stable` | what the medium found is stable, and so is a superblock that agrees with it, in the tier that syncs |
//! | `recovery.listed` | all checkpoints are listed |
//! | `recovery.read` | the log is read and judged |
//! | `recovery.announced` | the new incarnation is stable in the log |
//! | `recovery.actor` | an actor is restored in memory; once for each |
//! | `recovery.restored` | all actors are restored, none has begun to handle anything |
//! | `commit.begin` | a block is about to be handed to the medium |
//! | `commit.written` | the medium has the block |
//! | `commit.flush` | the block is about to be made stable |
//! | `stable.synced` | it is, as far as the tier promises |
//! | `commit.acknowledged` | the superblock says that the block is acknowledged; nobody was told yet |
//! | `checkpoint.begin` | checkpoints are about to be written |
//! | `checkpoint.values` | the medium has some of them; once for each step |
//! | `checkpoint.stable` | they are synced, and the superblock does not count them yet |
//! | `checkpoint.verified` | they have been read back |
//! | `checkpoint.listed` | the superblock counts them; that is not synced |
//! | `pack.closed` | a full pack has its index, and the superblock says so |
//! | `pack.copied` | checkpoints were copied out of a pack that is mostly dead |
//! | `pack.dead` | the superblock says that packs are gone; they are about to be removed |
//! | `checkpoint.removed` | packs in which nothing counts any more are gone |
//! | `cut.begin` | a cut was asked for |
//! | `cut.marked` | the superblock says where the log begins from now on, stable in the tier that syncs |
//! | `cut.step` | what was cut is removed |
//! | `cut.end` | the cut is over, its caller is about to be told |
//! | `close.begin` | the last job of an opening begins |
//! | `close.end` | the medium is closed |
//!
//! Those of both media that stand in a directory:
//!
//! | name | when |
//! | --- | --- |
//! | `medium.super.begin` | a superblock is about to be written |
//! | `medium.super.written` | the system has it, in both slots that do not hold the last stable one |
//! | `medium.super.synced` | it is synced, when it was to be and in the tier that syncs |
//! | `medium.remove.step` | on files: a file is about to be cut, emptied or removed; on sled: some values are out of its tree |
//!
//! Those of the medium on sled:
//!
//! | name | when |
//! | --- | --- |
//! | `create.begun` | the directory is marked as one in which a medium is being made |
//! | `create.mark` | the file of the superblock stands |
//! | `create.data` | sled's files stand, and are synced |
//! | `create.named` | the file that makes the directory a store is there |
//! | `open.locked` | the lock is held, nothing else is touched |
//! | `open.mark` | the superblock is read |
//! | `open.data` | sled is open: its own recovery is over, and nothing of it is synced |
//! | `stable.flushed` | sled has handed its data to the operating system |
//! | `stable.synced` | they are synced, in the tier that syncs |
//!
//! Those of a medium of plain files:
//!
//! | name | when |
//! | --- | --- |
//! | `medium.create.begun` | the directory is marked as one in which a medium is being made |
//! | `medium.create.super` | the file of the superblock stands |
//! | `medium.create.manifest` | the list of segments stands, empty |
//! | `medium.create.named` | the file that makes the directory a store is there |
//! | `medium.open.locked` | the lock is held, nothing else is touched |
//! | `medium.open.read` | all values are found, nothing was changed |
//! | `medium.open.stable` | what was found is synced, in the tier that syncs |
//! | `medium.segment.made` | a segment is there for its next use, and the list does not name it |
//! | `medium.segment.listed` | the list names it |
//! | `medium.manifest.written` | a new list is written beside the old one |
//! | `medium.manifest.renamed` | it stands in the place of the old one |
//! | `medium.manifest.synced` | that is stable, in the tier that syncs |
//! | `medium.write.begin` | what was appended to a stream is about to be written |
//! | `medium.write.end` | the system has it |
//! | `medium.synced` | it is synced, in the tier that syncs |
//! | `medium.remove.begin` | something of a stream is about to be removed |
//! | `medium.remove.end` | all of it is removed |
//!
//! Those of a conversion, which reaches those of the media as well:
//!
//! | name | when |
//! | --- | --- |
//! | `convert.left` | what an earlier conversion had left is removed |
//! | `convert.begun` | the directory beside that of the store is there, with its lock file |
//! | `convert.created` | an empty store is in it that begins where the old one does |
//! | `convert.block` | some blocks are in it and synced; once for each step |
//! | `convert.checkpoints` | some checkpoints are in it; once for each step |
//! | `convert.copied` | all blocks and checkpoints are in it and synced |
//! | `convert.closed` | both stores are closed |
//! | `convert.verified` | the new one gave back all that the old one had, and all of it is stable |
//! | `convert.exchange` | the two directories are about to exchange their names |
//! | `convert.exchanged` | they have |
//! | `convert.named` | that is stable |
//! | `convert.emptied` | of a directory that does not count only the lock file is left |
//! | `convert.end` | it is gone |

/// The target of all boundary events.
pub const TARGET: &str = "relive::boundary";

/// Tells that a boundary is reached.
#[doc(hidden)]
#[macro_export]
macro_rules! boundary {
    ($name:literal) => {
        ::tracing::trace!(name: $name, target: "relive::boundary", $name)
    };
}
