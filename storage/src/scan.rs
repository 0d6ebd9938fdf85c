//! Reads a log from its start to its end, and decides what everything is that is not whole: the
//! remains of an unacknowledged commit end the log, damage is an error. Writes nothing.

use std::collections::HashMap;

use crate::contract::error::StoreError;
use crate::contract::log::{Log, StoredBlock};
use crate::format::block::{Block, BlockHeader};
use crate::format::frame::Frame;
use crate::format::record::{Positioned, Record};
use crate::id::actor_id::{ActorId, ActorIds};
use crate::id::position::{Epoch, Lsn, Rsn};
use crate::limits::MILESTONE_BYTES;
use crate::wire::Malformed;

/// What a scan found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// The position of the first record that is still kept.
    pub start: Lsn,
    /// The position after the last record: where the log goes on.
    pub next: Lsn,
    /// The newest incarnation.
    pub epoch: Epoch,
    /// How many blocks were read.
    pub blocks: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Some of the positions where blocks begin, and how many bytes stand before each: a cut there
    /// frees so much.
    pub milestones: Vec<(Lsn, u64)>,
    /// What the scan found after the end: remains of a commit that was never acknowledged.
    pub torn: Option<String>,
}

/// Reads the whole log, checks it, and shows each frame to `visit`.
///
/// It checks the frames themselves, that positions and each actor's deliveries have no gaps, that
/// incarnations never go back, and that the log reaches as far as the store acknowledged it.
///
/// # Errors
/// [`StoreError::CorruptLog`] and [`StoreError::LostAcknowledged`], with the position; the
/// visitor's; the medium's.
pub fn scan(
    log: &dyn Log,
    visit: &mut dyn FnMut(&BlockHeader, Frame) -> Result<(), StoreError>,
) -> Result<Scanned, StoreError> {
    let mut frames = Frames::default();
    scan_blocks(log, &mut |block| frames.check(block, visit))
}

/// As [`scan`], with all its checks, for a visitor that takes whole blocks.
pub(crate) fn scan_checked(
    log: &dyn Log,
    visit: &mut dyn FnMut(&Block) -> Result<(), StoreError>,
) -> Result<Scanned, StoreError> {
    let mut frames = Frames::default();
    scan_blocks(log, &mut |block| {
        frames.check(block, &mut |_, _| Ok(()))?;
        visit(block)
    })
}

/// What the scan knows of the frames up to here.
#[derive(Default)]
struct Frames {
    ids: ActorIds,
    last: HashMap<ActorId, Rsn>,
}

impl Frames {
    /// Decodes and checks the frames of the next block, and shows them.
    fn check(
        &mut self,
        block: &Block,
        visit: &mut dyn FnMut(&BlockHeader, Frame) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for head in block.heads() {
            let frame = head.and_then(|head| Frame::read(head, block.bytes(), &mut self.ids));
            let frame = frame.map_err(|malformed| damaged(block, &malformed))?;
            // Positions alone do not show a block of another time in the place of a lost one. What
            // is carried stands behind what came after it.
            if let (Some(actor), None) = (&frame.actor, &frame.carried) {
                let last = self.last.entry(actor.clone()).or_insert(Rsn::NONE);
                follow(last, actor.as_str(), &frame.records)?;
            }
            visit(&block.header(), frame)?;
        }
        Ok(())
    }
}

/// As [`scan`], for a visitor that decodes the frames of the blocks and checks them itself, perhaps
/// later and elsewhere: each head and its records ([`damaged`] when they are malformed), and each
/// actor's deliveries ([`follow`]).
///
/// # Errors
/// As [`scan`].
pub fn scan_blocks<E: From<StoreError>>(
    log: &dyn Log,
    visit: &mut dyn FnMut(&Block) -> Result<(), E>,
) -> Result<Scanned, E> {
    let extent = log.extent()?;
    let mut scanned = Scanned {
        start: extent.start,
        next: extent.start,
        epoch: Epoch::new(0),
        blocks: 0,
        bytes: 0,
        milestones: Vec::new(),
        torn: None,
    };
    loop {
        let found = log.read(scanned.next)?;
        let block = match found {
            Some(StoredBlock { first, block: Ok(block) }) if first == scanned.next => block,
            None if scanned.next < extent.acknowledged => {
                let (acknowledged, found) = (extent.acknowledged, scanned.next);
                return Err(StoreError::LostAcknowledged { acknowledged, found }.into());
            }
            None => break,
            Some(found) => {
                scanned.torn = Some(judge_tail(log, &found, scanned.next, extent.acknowledged)?);
                break;
            }
        };
        check_header(&block, &scanned)?;
        visit(&block)?;
        if scanned.milestones.last().is_none_or(|(_, before)| scanned.bytes - before >= MILESTONE_BYTES) {
            scanned.milestones.push((block.header().first, scanned.bytes));
        }
        assert!(block.header().next() > scanned.next, "a scan goes forward, and stays at {}", scanned.next);
        scanned.next = block.header().next();
        scanned.epoch = block.header().epoch;
        scanned.blocks += 1;
        scanned.bytes += block.bytes().len() as u64;
    }
    // Each way out of the loop has judged this. A caller goes on at `next`, and overwrites what
    // stands there.
    assert!(scanned.next >= extent.acknowledged, "a log that lacks what was acknowledged is no whole one");
    // An incarnation may have ended before it wrote a block that is kept.
    scanned.epoch = scanned.epoch.max(extent.epoch);
    Ok(scanned)
}

fn check_header(block: &Block, scanned: &Scanned) -> Result<(), StoreError> {
    let header = block.header();
    if header.first != scanned.next {
        return Err(corrupt(scanned.next, format!("a block there says that it begins at {}", header.first)));
    }
    if header.epoch < scanned.epoch {
        let what =
            format!("{} follows on {}: an older part was put in its place", header.epoch, scanned.epoch);
        return Err(corrupt(header.first, what));
    }
    Ok(())
}

/// Something stands at or after `expected` that does not continue the log. It may end the log only
/// if the store did not acknowledge it, and no whole block after it says that it was durable.
fn judge_tail(
    log: &dyn Log,
    found: &StoredBlock,
    expected: Lsn,
    acknowledged: Lsn,
) -> Result<String, StoreError> {
    let what = match found.damage() {
        Some(damage) if found.first == expected => damage.to_owned(),
        _ => format!("nothing begins there, the next block begins at {}", found.first),
    };
    if expected < acknowledged {
        return Err(corrupt(expected, what));
    }
    // One whole block among those left says enough: a sync covers all that was written before it.
    let mut later = Some(found.clone());
    while let Some(stored) = later {
        if let Ok(block) = &stored.block
            && block.header().durable > expected
        {
            let durable = block.header().durable;
            return Err(corrupt(
                expected,
                format!("{what}, but a later block says that the log was durable to {durable}"),
            ));
        }
        later = match stored.first.checked_plus(1) {
            Some(after) => log.read(after)?,
            None => None,
        };
    }
    Ok(what)
}

fn corrupt(at: Lsn, what: String) -> StoreError {
    StoreError::CorruptLog { at, what }
}

/// The error of a block with a malformed frame.
#[must_use]
pub fn damaged(block: &Block, malformed: &Malformed) -> StoreError {
    corrupt(block.header().first, malformed.to_string())
}

/// Checks that the deliveries in an actor's next frame follow its `last` one without a gap; before
/// the first, `last` is [`Rsn::NONE`].
///
/// # Errors
/// [`StoreError::CorruptLog`].
pub fn follow(last: &mut Rsn, actor: &str, records: &[Positioned]) -> Result<(), StoreError> {
    for positioned in records {
        let Record::Delivery(delivery) = &positioned.record else {
            continue;
        };
        // The part of the log before may be cut off, so the first delivery may have any number.
        if *last != Rsn::NONE && last.checked_plus(1) != Some(delivery.rsn) {
            let what = format!("{actor} has {} right after {last}", delivery.rsn);
            return Err(corrupt(positioned.lsn, what));
        }
        *last = delivery.rsn;
    }
    Ok(())
}
