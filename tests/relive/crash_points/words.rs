//! The operations of a run over two actors, all words of them, and the text of a case.

use std::fmt;
use std::str::FromStr;

use relive_storage::simulated_store::{Call, Crash, Moment, Step, Unsynced};

/// One of the two actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Who {
    A,
    B,
}

impl Who {
    pub(crate) const BOTH: [Self; 2] = [Self::A, Self::B];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

/// An operation on the runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Op {
    /// A message from outside, with a receipt.
    Tell(Who),
    /// A message that makes the actor tell the other one.
    Pass(Who),
    /// A message with a side effect and a draw.
    Charge(Who),
    /// A message that panics on its first try: the runtime restores the actor.
    Stumble(Who),
    /// A message that begins a side effect and gives it up on its first try: the actor leaves it
    /// out.
    GiveUp(Who),
    /// A message that makes the actor ask the other one, and keep the reply.
    Ask(Who),
    /// The same in a race that the ask wins, unless there is a crash: the clock stands still.
    Race(Who),
    /// The same in a race that a sleep wins: the other one goes on when that is decided.
    Outsleep(Who),
    /// A message that sets the actor's timer, in place of one that is set.
    Set(Who),
    /// A message that takes the timer away.
    Cancel(Who),
    /// The time of all timers comes.
    Ring,
    Checkpoint(Who),
    Cut,
    /// Shuts the runtime down, and opens it.
    Reopen,
}

impl Op {
    const OF_ONE: [fn(Who) -> Self; 6] =
        [Self::Tell, Self::Pass, Self::Charge, Self::Stumble, Self::GiveUp, Self::Checkpoint];

    const OF_ONE_WAITING: [fn(Who) -> Self; 5] =
        [Self::Ask, Self::Race, Self::Outsleep, Self::Set, Self::Cancel];

    /// Those in which no handler waits for anything but a side effect.
    fn plain() -> Vec<Self> {
        let of_one = Self::OF_ONE.iter().flat_map(|op| Who::BOTH.map(op));
        of_one.chain([Self::Cut, Self::Reopen]).collect()
    }

    /// Asks in both directions, races, timers, and what may come between them. Only `a` has a timer
    /// and races, so no word differs from another by names alone.
    fn waiting() -> Vec<Self> {
        use Who::{A, B};
        let asks = [Self::Ask(A), Self::Ask(B), Self::Race(A), Self::Outsleep(A)];
        let timers = [Self::Set(A), Self::Cancel(A), Self::Ring];
        [&asks[..], &timers, &[Self::Checkpoint(A), Self::Cut, Self::Reopen]].concat()
    }

    /// Those of which the words of three operations are made: a timer needs as many, and a wait
    /// that the sleep wins leaves the most behind.
    fn waiting_longest() -> Vec<Self> {
        use Who::A;
        vec![Self::Outsleep(A), Self::Set(A), Self::Cancel(A), Self::Ring, Self::Reopen]
    }

    /// All there are.
    fn all() -> Vec<Self> {
        let of_one = Self::OF_ONE_WAITING.iter().flat_map(|op| Who::BOTH.map(op));
        of_one.chain([Self::Ring]).chain(Self::plain()).collect()
    }

    pub(crate) fn who(self) -> Option<Who> {
        match self {
            Self::Tell(who)
            | Self::Pass(who)
            | Self::Charge(who)
            | Self::Stumble(who)
            | Self::GiveUp(who)
            | Self::Ask(who)
            | Self::Race(who)
            | Self::Outsleep(who)
            | Self::Set(who)
            | Self::Cancel(who)
            | Self::Checkpoint(who) => Some(who),
            Self::Ring | Self::Cut | Self::Reopen => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Tell(_) => "tell",
            Self::Pass(_) => "pass",
            Self::Charge(_) => "charge",
            Self::Stumble(_) => "stumble",
            Self::GiveUp(_) => "give-up",
            Self::Ask(_) => "ask",
            Self::Race(_) => "race",
            Self::Outsleep(_) => "outsleep",
            Self::Set(_) => "set",
            Self::Cancel(_) => "cancel",
            Self::Ring => "ring",
            Self::Checkpoint(_) => "checkpoint",
            Self::Cut => "cut",
            Self::Reopen => "reopen",
        }
    }
}

/// A run: operations one after the other.
pub(crate) type Word = Vec<Op>;

/// All words of exactly `length` operations, except those that differ from another only by the
/// names of the two actors: the first actor that a word names is `a`.
pub(crate) fn words(length: usize) -> Vec<Word> {
    let mut words = words_of(&Op::plain(), length);
    words.retain(|word| word.iter().find_map(|op| op.who()) != Some(Who::B));
    words
}

/// The words of exactly `length` operations in which actors ask, race and set timers: all of up to
/// two, and those of more that are made of [`Op::waiting_longest`].
pub(crate) fn waiting_words(length: usize) -> Vec<Word> {
    let ops = if length <= 2 { Op::waiting() } else { Op::waiting_longest() };
    words_of(&ops, length)
}

fn words_of(ops: &[Op], length: usize) -> Vec<Word> {
    let mut words = vec![Word::new()];
    for _ in 0..length {
        let longer = words.iter().flat_map(|word| {
            let next = ops.iter().map(|op| [&word[..], &[*op]].concat());
            next.collect::<Vec<_>>()
        });
        words = longer.collect();
    }
    words
}

/// Where the power goes, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Point {
    pub(crate) at: At,
    pub(crate) crash: Crash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum At {
    /// At this call since the device was made, counted from 1.
    Call(u64),
    /// After the operations, while no call is under way.
    End,
}

/// A run, and the points at which it, and then its recovery, loses power.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Case {
    pub(crate) word: Word,
    pub(crate) points: Vec<Point>,
}

impl Case {
    /// The seed of its device: the same for all that begin with the same loss of power.
    pub(crate) fn seed(&self) -> u64 {
        let first = self.points.iter().take(1).copied().collect();
        let text = Self { word: self.word.clone(), points: first }.to_string();
        let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv)
    }
}

/// The ways in which the power can go at a call, given the calls so far: `at` is the index of the
/// call in the trace, or its length for the end of a run, when no call is under way.
///
/// Leaves out the ways that equal another by construction of the device. A call that only reads has
/// no middle and no end of its own. The fate of unsynced writes makes no difference when there are
/// none; when there are only marks, which note up to where the log is acknowledged, a mark between
/// the oldest and the newest says something between them. An interrupted sync leaves what a loss of
/// power before it leaves. The end of an append is the beginning of the sync that follows on the
/// same thread. Of half a block, a put or a cut, nothing is there when the device drops everything;
/// of a put or a cut, everything is there when it keeps everything.
pub(crate) fn points(trace: &[Step], at: usize) -> Vec<Point> {
    const ALL: [Unsynced; 3] = [Unsynced::Dropped, Unsynced::Kept, Unsynced::Drawn];
    let any = |step: &Step| match (step.unsynced, step.marks) {
        (0, _) => &ALL[..1],
        (unsynced, marks) if unsynced == marks => &ALL[..2],
        _ => &ALL[..],
    };
    let before = at.checked_sub(1).map_or(&ALL[..1], |before| any(&trace[before]));
    let (torn, after) = match trace.get(at).map(|step| (step.call, any(step))) {
        Some((Call::Append, _)) => {
            let next = trace.get(at + 1).map(|step| step.call);
            assert_eq!(next, Some(Call::Sync), "an append without its sync");
            (&ALL[1..], &ALL[..0])
        }
        Some((Call::Sync, after)) => (&ALL[..0], after),
        Some((Call::Put | Call::Cut, after)) => (&ALL[2..], after),
        _ => (&ALL[..0], &ALL[..0]),
    };
    let mut points = Vec::new();
    for (moment, all) in [(Moment::Before, before), (Moment::Torn, torn), (Moment::After, after)] {
        for unsynced in all {
            let crash = Crash { moment, unsynced: *unsynced };
            let at = if at < trace.len() { At::Call(at as u64 + 1) } else { At::End };
            points.push(Point { at, crash });
        }
    }
    points
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.who() {
            Some(who) => write!(f, "{}:{}", self.name(), who.key()),
            None => f.write_str(self.name()),
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word: Vec<_> = self.word.iter().map(Op::to_string).collect();
        f.write_str(&word.join(","))?;
        self.points.iter().try_for_each(|Point { at, crash }| match at {
            At::Call(nth) => write!(f, "/{nth}/{crash}"),
            At::End => write!(f, "/end/{crash}"),
        })
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/');
        let mut word = Word::new();
        for name in parts.next().unwrap_or_default().split(',').filter(|name| !name.is_empty()) {
            let op = Op::all().into_iter().find(|op| op.to_string() == name);
            word.push(op.ok_or_else(|| format!("there is no operation {name:?}"))?);
        }
        let mut points = Vec::new();
        while let Some(nth) = parts.next() {
            let at = match nth {
                "end" => At::End,
                nth => At::Call(nth.parse().map_err(|_| format!("{nth:?} is not the number of a call"))?),
            };
            let moment = match parts.next() {
                Some("before") => Moment::Before,
                Some("torn") => Moment::Torn,
                Some("after") => Moment::After,
                other => return Err(format!("{other:?} is none of before, torn, after")),
            };
            let unsynced = match parts.next() {
                Some("dropped") => Unsynced::Dropped,
                Some("kept") => Unsynced::Kept,
                Some("drawn") => Unsynced::Drawn,
                other => return Err(format!("{other:?} is none of dropped, kept, drawn")),
            };
            points.push(Point { at, crash: Crash { moment, unsynced } });
        }
        Ok(Self { word, points })
    }
}
