//! The durable timers of an actor. They are part of its process, so a firing is a pure function of
//! state and delivery. Knows no clock: the record of a delivery says what time it was.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use relive_storage::record::{Delivery, Sender};
use relive_storage::{ActorId, Name, Timestamp};

/// How many timers an actor may have at a time.
pub const TIMERS_PER_ACTOR_MAX: usize = 1024;

/// How many bytes the messages of an actor's timers may have together; they are part of each of its
/// checkpoints.
pub const TIMER_BYTES_PER_ACTOR_MAX: usize = 16 << 20;

/// The shortest period of a timer.
pub const TIMER_PERIOD_MIN: Duration = Duration::from_millis(1);

/// The message type in the record of a firing that is passed on to another actor. The owner has no
/// handler for the timer's message, and the message stands in its state, so the record leaves it
/// out.
pub const PASSED_ON: Name = Name::from_static("relive.timer");

/// Which timer has fired; [`Context::timer_firing`](crate::Context::timer_firing) returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Firing {
    /// The name of the timer.
    pub name: String,
    /// When it was due. The clock of the delivery may be later, after a crash by days.
    pub due: Timestamp,
    /// How many further periods had passed by the clock of the delivery. They do not fire any more.
    /// 0 for a timer that fires once.
    pub missed: u64,
}

/// One timer that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Timer {
    pub(crate) due: Timestamp,
    /// The period, in whole microseconds; `None` when it fires once.
    pub(crate) every: Option<Duration>,
    /// The actor that gets the message, when it is not the owner.
    pub(crate) to: Option<ActorId>,
    pub(crate) message: Name,
    pub(crate) payload: Bytes,
}

impl Timer {
    /// The message type and the payload in the record of its firing.
    fn recorded(&self) -> (Name, Bytes) {
        match &self.to {
            Some(_) => (PASSED_ON, Bytes::new()),
            None => (self.message.clone(), self.payload.clone()),
        }
    }

    /// How many further periods had passed by `clock`, and what is left of the timer after a firing
    /// at that time.
    fn fired(&self, clock: Timestamp) -> (u64, Option<Self>) {
        let Some(period) = self.every.map(|every| every.as_micros()) else { return (0, None) };
        assert!(period > 0, "a period that ends at once would fire without end");
        // Nothing when the clock has gone back since the look that made the firing.
        let passed = u128::from(clock.as_micros().saturating_sub(self.due.as_micros()));
        let missed = passed / period;
        let due = u128::from(self.due.as_micros()).saturating_add(period.saturating_mul(missed + 1));
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        // At the end of time there is no later moment, so the timer ends.
        let is_later = due > clock.as_micros() && due > self.due.as_micros();
        let left = is_later.then(|| Self { due: Timestamp::from_micros(due), ..self.clone() });
        (u64::try_from(missed).unwrap_or(u64::MAX), left)
    }
}

/// The timers of an actor, by name.
///
/// Each delivery takes them to its handler and back, and most actors have none. So it is one
/// pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timers(Option<Box<TimersSet>>);

/// Timers of which there is one at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TimersSet {
    by_name: BTreeMap<Name, Timer>,
    /// What their messages have together.
    bytes: usize,
    /// When the first one is due: a turn asks for it more often than it changes.
    next: Option<Timestamp>,
}

impl Timers {
    pub(crate) fn new(set: BTreeMap<Name, Timer>) -> Self {
        if set.is_empty() {
            return Self::default();
        }
        let bytes = set.values().map(|timer| timer.payload.len()).sum();
        let next = set.values().map(|timer| timer.due).min();
        Self(Some(Box::new(TimersSet { by_name: set, bytes, next })))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Name, &Timer)> {
        self.0.iter().flat_map(|set| &set.by_name)
    }

    fn get(&self, name: &Name) -> Option<&Timer> {
        self.0.as_ref()?.by_name.get(name)
    }

    /// How many there are, and what their messages have together.
    fn size(&self) -> (usize, usize) {
        self.0.as_ref().map_or((0, 0), |set| (set.by_name.len(), set.bytes))
    }

    /// When the first one is due.
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.0.as_ref()?.next
    }

    /// The firings of those that are due at `now`, in order of due time.
    pub(crate) fn due(&self, now: Timestamp) -> Vec<DueTimer> {
        if self.next().is_none_or(|next| next > now) {
            return Vec::new();
        }
        let due = self.iter().filter(|(_, timer)| timer.due <= now);
        let mut due: Vec<_> = due
            .map(|(name, timer)| {
                let (message, payload) = timer.recorded();
                DueTimer { name: name.clone(), due: timer.due, message, payload }
            })
            .collect();
        // Stable, so that those of one moment go in order of their names, in each run.
        due.sort_by_key(|timer| timer.due);
        due
    }

    /// What a delivery finds here. One that is no firing finds nothing; a firing finds its timer
    /// when that is still as it was when the firing was logged.
    #[inline]
    pub(crate) fn find(&self, delivery: &Delivery) -> Found {
        match &delivery.sender {
            Sender::Timer { name, due } => self.find_firing(name, *due, delivery),
            _ => Found::NoFiring,
        }
    }

    fn find_firing(&self, name: &Name, due: Timestamp, delivery: &Delivery) -> Found {
        let timer = self.get(name).filter(|timer| {
            let (message, payload) = timer.recorded();
            timer.due == due && message == delivery.message && payload == delivery.payload
        });
        let Some(timer) = timer else { return Found::Gone };
        let (missed, left) = timer.fired(delivery.clock);
        Found::Timer(Box::new(Fired { name: name.clone(), timer: timer.clone(), missed, left }))
    }

    /// Sets a timer or takes it away.
    pub(crate) fn change(&mut self, name: Name, timer: Option<Timer>) {
        self.change_all([(name, timer)]);
    }

    fn change_all(&mut self, changes: impl IntoIterator<Item = (Name, Option<Timer>)>) {
        let mut set = self.0.take().unwrap_or_default();
        for (name, timer) in changes {
            set.bytes += timer.as_ref().map_or(0, |timer| timer.payload.len());
            let before = match timer {
                Some(timer) => set.by_name.insert(name, timer),
                None => set.by_name.remove(&name),
            };
            set.bytes -= before.map_or(0, |timer| timer.payload.len());
        }
        set.next = set.by_name.values().map(|timer| timer.due).min();
        self.0 = Some(set).filter(|set| !set.by_name.is_empty());
    }
}

/// A timer that is due, as the record of its firing has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTimer {
    /// Its name.
    pub name: Name,
    /// When it is due.
    pub due: Timestamp,
    /// The message type of the record.
    pub message: Name,
    /// The payload of the record.
    pub payload: Bytes,
}

/// What a delivery finds among the timers of its actor.
pub(crate) enum Found {
    /// It is no firing.
    NoFiring,
    /// It is the firing of a timer that was cancelled, replaced or fired meanwhile.
    Gone,
    /// It is the firing of this timer.
    Timer(Box<Fired>),
}

/// A timer that fires.
pub(crate) struct Fired {
    pub(crate) name: Name,
    pub(crate) timer: Timer,
    /// How many further periods had passed.
    pub(crate) missed: u64,
    /// What is set under its name from now on.
    pub(crate) left: Option<Timer>,
}

/// The timers of an actor while it handles a delivery: what the handler changes counts when the
/// delivery is done.
#[derive(Debug)]
pub(crate) struct TimerChanges {
    before: Timers,
    /// `None` until there is one. Most deliveries change none.
    changes: Option<Box<Changes>>,
}

/// The changes of one delivery.
#[derive(Debug, Default)]
struct Changes {
    by_name: BTreeMap<Name, Option<Timer>>,
    count: usize,
    bytes: usize,
    /// What the firing that is handled has done to its own timer. It stays, whatever the handler
    /// does.
    fired: Option<(Name, Option<Timer>)>,
}

/// Which limit a further timer breaks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of their number.
    Number,
    /// That of the bytes of their messages.
    Bytes,
}

impl TimerChanges {
    pub(crate) fn new(before: Timers) -> Self {
        Self { before, changes: None }
    }

    fn get(&self, name: &Name) -> Option<&Timer> {
        let change = self.changes.as_ref().and_then(|changes| changes.by_name.get(name));
        change.map_or_else(|| self.before.get(name), Option::as_ref)
    }

    /// How many there are now, and what their messages have together.
    fn size(&self) -> (usize, usize) {
        self.changes.as_ref().map_or_else(|| self.before.size(), |changes| (changes.count, changes.bytes))
    }

    /// Sets a timer, in place of the one with this name.
    pub(crate) fn set(&mut self, name: Name, timer: Timer) -> Result<(), Full> {
        let before = self.get(&name).map(|timer| timer.payload.len());
        let (count, bytes) = self.size();
        let count = count + usize::from(before.is_none());
        let bytes = bytes - before.unwrap_or_default() + timer.payload.len();
        if count > TIMERS_PER_ACTOR_MAX {
            return Err(Full::Number);
        }
        if bytes > TIMER_BYTES_PER_ACTOR_MAX {
            return Err(Full::Bytes);
        }
        self.put(name, Some(timer));
        assert_eq!(self.size(), (count, bytes), "each timer counts once");
        Ok(())
    }

    /// Takes a timer away; `false` when there is none.
    pub(crate) fn cancel(&mut self, name: Name) -> bool {
        let is_set = self.get(&name).is_some();
        if is_set {
            self.put(name, None);
        }
        is_set
    }

    /// The firing of a timer moves it on, or takes it away.
    pub(crate) fn fire(&mut self, name: Name, left: Option<Timer>) {
        let fired = Some((name.clone(), left.clone()));
        self.put(name, left).fired = fired;
    }

    /// Takes back what the handler has set and cancelled.
    pub(crate) fn undo(&mut self) {
        let fired = self.changes.take().and_then(|changes| changes.fired);
        if let Some((name, left)) = fired {
            self.fire(name, left);
        }
    }

    /// Sets a timer, or takes it away, whatever the limits.
    fn put(&mut self, name: Name, timer: Option<Timer>) -> &mut Changes {
        let before = self.get(&name).map(|timer| timer.payload.len());
        let (count, bytes) = self.size();
        let changes = self.changes.get_or_insert_default();
        changes.count = count + usize::from(timer.is_some()) - usize::from(before.is_some());
        changes.bytes =
            bytes + timer.as_ref().map_or(0, |timer| timer.payload.len()) - before.unwrap_or_default();
        // A cancelled timer of this delivery leaves nothing, so the changes are bounded too.
        if timer.is_none() && self.before.get(&name).is_none() {
            changes.by_name.remove(&name);
        } else {
            changes.by_name.insert(name, timer);
        }
        changes
    }

    /// The timers after the delivery.
    pub(crate) fn done(self) -> Timers {
        let Self { before: mut timers, changes } = self;
        if let Some(changes) = changes {
            timers.change_all(changes.by_name);
            assert_eq!(timers.size(), (changes.count, changes.bytes), "each timer counts once");
        }
        timers
    }

    /// The timers as they were before the delivery.
    pub(crate) fn abandon(self) -> Timers {
        self.before
    }
}

#[cfg(test)]
mod tests {
    use relive_storage::Rsn;

    use super::*;

    fn at(micros: u64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    fn timer(due: u64, every: Option<u64>) -> Timer {
        let (message, payload) = ("remind".into(), Bytes::from_static(b"tea"));
        Timer { due: at(due), every: every.map(Duration::from_micros), to: None, message, payload }
    }

    fn timers<'n>(set: impl IntoIterator<Item = (&'n str, Timer)>) -> Timers {
        Timers::new(set.into_iter().map(|(name, timer)| (name.into(), timer)).collect())
    }

    fn firing(name: &str, due: u64, clock: u64) -> Delivery {
        let (rsn, sender) = (Rsn::new(1), Sender::Timer { name: name.into(), due: at(due) });
        let (message, payload, clock) = ("remind".into(), Bytes::from_static(b"tea"), at(clock));
        Delivery { rsn, sender, asked: false, message, payload, clock, seed: 0 }
    }

    /// How many periods a firing missed, and when the timer is due next.
    fn fired(timer: &Timer, clock: u64) -> (u64, Option<u64>) {
        let (missed, left) = timer.fired(at(clock));
        (missed, left.map(|timer| timer.due.as_micros()))
    }

    #[test]
    fn a_timer_without_a_period_fires_once() {
        assert_eq!(fired(&timer(100, None), 100), (0, None));
        assert_eq!(fired(&timer(100, None), 5_000), (0, None));
    }

    /// What was due meanwhile is one firing with a count, and the next one is ahead of the clock.
    #[test]
    fn a_period_goes_on_after_the_clock_of_the_firing() {
        let timer = timer(100, Some(10));
        for (clock, expected) in
            [(100, (0, 110)), (109, (0, 110)), (110, (1, 120)), (1_005, (90, 1_010)), (40, (0, 110))]
        {
            assert_eq!(fired(&timer, clock), (expected.0, Some(expected.1)), "at {clock}");
        }
    }

    /// A clock at the end of time must not fire a timer without end.
    #[test]
    fn a_period_ends_with_time() {
        assert_eq!(fired(&timer(100, Some(10)), u64::MAX).1, None);
        assert_eq!(fired(&timer(u64::MAX, Some(10)), 5).1, None);
    }

    #[test]
    fn what_is_due_comes_in_order_of_due_time() {
        let timers = timers([("a", timer(30, None)), ("b", timer(10, None)), ("c", timer(20, None))]);
        let due = |now| timers.due(at(now)).iter().map(|due| due.name.to_string()).collect::<Vec<_>>();
        assert_eq!((timers.next(), due(9)), (Some(at(10)), Vec::new()));
        assert_eq!(due(20), ["b", "c"]);
        assert_eq!(due(30), ["b", "c", "a"]);
    }

    /// A firing counts for the timer for which it was logged, and for no other of its name.
    #[test]
    fn a_firing_finds_its_own_timer_alone() {
        let timers = timers([("tea", timer(10, None))]);
        assert!(matches!(timers.find(&firing("tea", 10, 12)), Found::Timer(_)));
        assert!(matches!(timers.find(&firing("tea", 11, 12)), Found::Gone), "it was set to another time");
        assert!(matches!(timers.find(&firing("milk", 10, 12)), Found::Gone), "it was cancelled");
        let mut other = firing("tea", 10, 12);
        other.payload = Bytes::from_static(b"milk");
        assert!(matches!(timers.find(&other), Found::Gone), "it has another message");
        other.sender = Sender::Outside;
        assert!(matches!(timers.find(&other), Found::NoFiring));
    }

    /// Invariant: bounded, by number and by bytes; what is replaced or cancelled makes room.
    #[test]
    fn an_actor_has_a_bounded_number_of_timers() {
        let full = (0..TIMERS_PER_ACTOR_MAX).map(|at| (Name::from(format!("{at}")), timer(1, None)));
        let mut changes = TimerChanges::new(Timers::new(full.collect()));
        assert_eq!(changes.set("one more".into(), timer(1, None)), Err(Full::Number));
        assert_eq!(changes.set("7".into(), timer(2, None)), Ok(()), "it replaces one");
        assert!(changes.cancel("8".into()) && !changes.cancel("8".into()));
        assert_eq!(changes.set("one more".into(), timer(1, None)), Ok(()));
        assert_eq!(changes.set("and one".into(), timer(1, None)), Err(Full::Number));
        let timers = changes.done();
        assert_eq!(timers.size().0, TIMERS_PER_ACTOR_MAX);
        let mut changes = TimerChanges::new(Timers::default());
        let large = |_| Timer { payload: vec![7; 1 << 20].into(), ..timer(1, None) };
        for at in 0..16 {
            assert_eq!(changes.set(format!("{at}").into(), large(at)), Ok(()));
        }
        assert_eq!(changes.set("one more".into(), timer(1, None)), Err(Full::Bytes));
        assert_eq!(changes.set("3".into(), large(3)), Ok(()));
        assert!(changes.cancel("3".into()));
        assert_eq!(changes.set("one more".into(), timer(1, None)), Ok(()));
    }

    #[test]
    fn a_delivery_that_halts_leaves_the_timers_as_they_were() {
        let before = timers([("tea", timer(10, None))]);
        let changed = || {
            let mut changes = TimerChanges::new(before.clone());
            assert!(changes.cancel("tea".into()));
            changes.set("milk".into(), timer(5, None)).unwrap();
            changes
        };
        assert_eq!(changed().abandon(), before);
        assert_eq!(changed().done(), timers([("milk", timer(5, None))]));
    }
}
