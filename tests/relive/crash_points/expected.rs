//! What must be there after a crash, by arithmetic over the answers to the caller; and the
//! comparison with what is there. Knows no runtime.

use std::collections::BTreeMap;

use super::outside::{Entry, Outside};
use super::words::{Op, Who};

/// What the caller knows of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It is there whatever crashes; for a charge or a race, with its reply.
    Acknowledged(Option<(u64, u64)>),
    /// It may be there.
    Unknown,
    /// It must not be there.
    Refused,
    /// It must not be there either: it is in quarantine.
    LeftOut,
}

/// The operations, and what the caller knows of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expected {
    issued: Vec<(Op, u32, Told)>,
    /// The losses of power so far.
    pub(crate) crashes: usize,
    /// The newest incarnation that served.
    pub(crate) epoch: u64,
    /// The last delivery in the newest checkpoint of each actor that the runtime reported as
    /// durable.
    pub(crate) checkpointed: BTreeMap<Who, u64>,
    /// Where the log begins, as the runtime reported.
    pub(crate) cut: u64,
}

impl Expected {
    /// Adds a new operation, of which nothing is known yet. Returns its number.
    pub(crate) fn issue(&mut self, op: Op) -> u32 {
        let id = u32::try_from(self.issued.len()).unwrap() + 1;
        self.issued.push((op, id, Told::Unknown));
        id
    }

    /// The last operation was acknowledged.
    pub(crate) fn acknowledged(&mut self, reply: Option<(u64, u64)>) {
        self.tell(Told::Acknowledged(reply));
    }

    /// Whether an actor may go on by itself when it comes back: with a message that it owes, a side
    /// effect that is not on record, or a delivery that failed at first. Only the last operation
    /// can have been under way.
    pub(crate) fn may_have_more_to_do(&self) -> bool {
        let more = |op: &Op| match op {
            Op::Pass(_) | Op::Charge(_) | Op::Stumble(_) | Op::GiveUp(_) => true,
            Op::Ask(_) | Op::Race(_) | Op::Outsleep(_) => true,
            Op::Tell(_) | Op::Set(_) | Op::Cancel(_) | Op::Ring => false,
            Op::Checkpoint(_) | Op::Cut | Op::Reopen => false,
        };
        self.issued.last().is_some_and(|(op, ..)| more(op))
    }

    /// The actors, one with a checkpoint before the other: it may be passive, and then a repeated
    /// message, which it has received already, brings it into memory.
    pub(crate) fn passive_first(&self) -> [Who; 2] {
        let checkpoint = |(op, ..): &&(Op, u32, Told)| matches!(op, Op::Checkpoint(_));
        match self.issued.iter().rev().find(checkpoint) {
            Some((Op::Checkpoint(who), ..)) => [*who, who.other()],
            _ => Who::BOTH,
        }
    }

    /// The senders that used their channel or may have used it; `a` if none did.
    pub(crate) fn channels(&self) -> Vec<Who> {
        let passed = |who: &Who| self.issued.iter().any(|(op, ..)| *op == Op::Pass(*who));
        let used: Vec<_> = Who::BOTH.into_iter().filter(passed).collect();
        if used.is_empty() { vec![Who::A] } else { used }
    }

    /// The last operation was refused.
    pub(crate) fn refused(&mut self) {
        self.tell(Told::Refused);
    }

    /// The last operation went into quarantine.
    pub(crate) fn went_into_quarantine(&mut self) {
        self.tell(Told::LeftOut);
    }

    fn tell(&mut self, told: Told) {
        self.issued.last_mut().expect("an operation was issued").2 = told;
    }

    /// The number of the last operation.
    pub(crate) fn last(&self) -> Option<u32> {
        self.issued.last().map(|(_, id, _)| *id)
    }

    /// Whether a timer was ever set, or may have been.
    pub(crate) fn has_timers(&self) -> bool {
        self.issued.iter().any(|(op, ..)| matches!(op, Op::Set(_)))
    }

    /// The timers that were set before the last operation, by the operations that set them.
    pub(crate) fn timers(&self) -> BTreeMap<Who, u32> {
        let mut timers = BTreeMap::new();
        let before = self.issued.split_last().map(|(_, before)| before).unwrap_or_default();
        for (op, id, told) in before {
            match op {
                Op::Set(who) if matches!(told, Told::Acknowledged(_)) => drop(timers.insert(*who, *id)),
                Op::Cancel(who) if matches!(told, Told::Acknowledged(_)) => drop(timers.remove(who)),
                Op::Ring => timers.clear(),
                _ => {}
            }
        }
        timers
    }

    /// Compares the actors with what they must have done, in order and once, with and without the
    /// unknown operation. Whether it happened is known from then on.
    pub(crate) fn compare(&mut self, found: &BTreeMap<Who, Vec<Entry>>) -> Result<(), String> {
        let unknown = self.issued.iter().position(|(_, _, told)| *told == Told::Unknown);
        if matches(&self.entries(false), found) {
            if let Some(unknown) = unknown {
                self.issued[unknown].2 = Told::Refused;
            }
            return Ok(());
        }
        let with = self.entries(true);
        match unknown {
            Some(unknown) if matches(&with, found) => {
                let (_, id, _) = self.issued[unknown];
                self.issued[unknown].2 = Told::Acknowledged(reply(found, id));
                Ok(())
            }
            _ => Err(format!("the actors have done {found:?}, expected {with:?} (unknown: {unknown:?})")),
        }
    }

    /// How many deliveries may be in quarantine: those that the runtime reported there, and one
    /// that may be there.
    pub(crate) fn left_out(&self) -> std::ops::RangeInclusive<usize> {
        let (mut told, mut unknown) = (0, 0);
        for (op, _, is) in &self.issued {
            match (op, is) {
                (Op::GiveUp(_), Told::LeftOut) => told += 1,
                // It came and the actor left it out, or it never came.
                (Op::GiveUp(_), Told::Refused) => unknown += 1,
                _ => {}
            }
        }
        told..=told + unknown
    }

    /// Compares the ledger with the operations: each charge has its delivery on record, each key
    /// has one operation, and no acknowledged charge happened again.
    pub(crate) fn compare_outside(&self, outside: &Outside) -> Result<(), String> {
        let mut by_key: BTreeMap<&str, Vec<(u32, u64)>> = BTreeMap::new();
        for (key, id, outcome) in &outside.charges {
            by_key.entry(key).or_default().push((*id, *outcome));
        }
        let mut done = BTreeMap::new();
        for (key, runs) in by_key {
            let id = runs[0].0;
            if runs.iter().any(|(other, _)| *other != id) {
                return Err(format!("the key {key} was given to two operations: {runs:?}"));
            }
            if runs.len() > 1 + self.crashes {
                return Err(format!("the side effect of {key} was done {} times", runs.len()));
            }
            if done.insert(id, runs).is_some() {
                return Err(format!("operation {id} was charged under two keys"));
            }
        }
        for (op, id, told) in &self.issued {
            let runs = done.remove(id).unwrap_or_default();
            let fits = match (op, told) {
                (Op::Charge(_), Told::Acknowledged(Some((outcome, _)))) => {
                    // The last one counts: the earlier ones were not on record when they happened
                    // again.
                    runs.last().is_some_and(|(_, last)| last == outcome)
                }
                (Op::Charge(_), Told::Unknown) => true,
                _ => runs.is_empty(),
            };
            if !fits {
                return Err(format!("{op} ({id}) was {told:?}, and is in the ledger as {runs:?}"));
            }
        }
        Ok(())
    }

    /// What each actor must have done, `with` the unknown operation or without it.
    fn entries(&self, with: bool) -> BTreeMap<Who, Vec<Wanted>> {
        let mut entries: BTreeMap<Who, Vec<Wanted>> =
            Who::BOTH.iter().map(|who| (*who, Vec::new())).collect();
        let mut timers = BTreeMap::new();
        for (op, id, told) in &self.issued {
            let (there, reply) = match told {
                Told::Acknowledged(reply) => (true, *reply),
                Told::Unknown => (with, None),
                Told::Refused | Told::LeftOut => (false, None),
            };
            if !there {
                continue;
            }
            let mut did = |who: Who, entry| entries.entry(who).or_default().push(entry);
            match op {
                Op::Tell(who) => did(*who, Wanted::Exactly(Entry::Told(*id))),
                Op::Pass(who) => {
                    did(*who, Wanted::Exactly(Entry::Passed(*id)));
                    did(who.other(), Wanted::Exactly(Entry::Took(*id)));
                }
                Op::Charge(who) => did(
                    *who,
                    reply.map_or(Wanted::AnyCharge(*id), |(outcome, draw)| {
                        Wanted::Exactly(Entry::Charged(*id, outcome, draw))
                    }),
                ),
                Op::Stumble(who) => did(*who, Wanted::Exactly(Entry::Stumbled(*id))),
                Op::GiveUp(who) => did(*who, Wanted::Exactly(Entry::HeldOn(*id))),
                Op::Ask(_) | Op::Race(_) | Op::Outsleep(_) => asks(&mut entries, *op, *id, reply),
                Op::Set(_) | Op::Cancel(_) | Op::Ring => rings(&mut entries, &mut timers, *op, *id),
                Op::Checkpoint(_) | Op::Cut | Op::Reopen => {}
            }
        }
        entries
    }
}

type Wants = BTreeMap<Who, Vec<Wanted>>;

/// What an ask of the other actor leaves with both.
fn asks(entries: &mut Wants, op: Op, id: u32, reply: Option<(u64, u64)>) {
    let Some(who) = op.who() else { return };
    let other = entries.entry(who.other()).or_default();
    other.push(Wanted::Exactly(Entry::Gave(id)));
    let gave = other.len() as u64;
    let asked = match (op, reply) {
        (Op::Race(_) | Op::Outsleep(_), None) => Wanted::EitherRace(id, gave),
        // Either may win, and the one that a caller was told stays.
        (Op::Race(_) | Op::Outsleep(_), Some((0, _))) => Wanted::Exactly(Entry::Raced(id, 0)),
        (Op::Race(_) | Op::Outsleep(_), Some(_)) => Wanted::Exactly(Entry::Raced(id, gave)),
        _ => Wanted::Exactly(Entry::Asked(id, gave)),
    };
    entries.entry(who).or_default().push(asked);
}

/// What timers leave; `timers` are those that are set.
fn rings(entries: &mut Wants, timers: &mut BTreeMap<Who, u32>, op: Op, id: u32) {
    let mut did = |who: Who, entry| entries.entry(who).or_default().push(Wanted::Exactly(entry));
    match op {
        Op::Set(who) => {
            timers.insert(who, id);
            did(who, Entry::Set(id));
        }
        Op::Cancel(who) => did(who, Entry::Cancelled(id, timers.remove(&who).is_some())),
        _ => std::mem::take(timers).into_iter().for_each(|(who, set)| did(who, Entry::Rang(set))),
    }
}

#[derive(Debug)]
enum Wanted {
    /// A race of which no caller knows the winner: the reply, or the sleep.
    EitherRace(u32, u64),
    Exactly(Entry),
    /// A charge whose outcome no caller knows.
    AnyCharge(u32),
}

fn matches(wanted: &BTreeMap<Who, Vec<Wanted>>, found: &BTreeMap<Who, Vec<Entry>>) -> bool {
    wanted.iter().all(|(who, wanted)| {
        let found = found.get(who).map(Vec::as_slice).unwrap_or_default();
        let same = |(wanted, found): (&Wanted, &Entry)| match wanted {
            Wanted::Exactly(entry) => entry == found,
            Wanted::EitherRace(id, gave) => {
                *found == Entry::Raced(*id, 0) || *found == Entry::Raced(*id, *gave)
            }
            Wanted::AnyCharge(id) => matches!(found, Entry::Charged(other, _, _) if other == id),
        };
        wanted.len() == found.len() && wanted.iter().zip(found).all(same)
    })
}

/// The outcome and the draw of a charge that came back, or who has won a race.
fn reply(found: &BTreeMap<Who, Vec<Entry>>, id: u32) -> Option<(u64, u64)> {
    found.values().flatten().find_map(|entry| match entry {
        Entry::Charged(other, outcome, draw) if *other == id => Some((*outcome, *draw)),
        Entry::Raced(other, won) if *other == id => Some((*won, 0)),
        _ => None,
    })
}
