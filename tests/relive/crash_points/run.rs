//! One run on a simulated device: its operations one after the other, and the recovery after a loss
//! of power, with what must hold then. The run waits after each operation until the runtime rests,
//! so that the calls into the store are a function of the operations.
//!
//! Nothing else calls the store: policies that go by time or size are far from due, and the runtime
//! has one thread.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use relive::testing::ManualClock;
use relive::{ActorId, ActorRef, AskError, Discipline, Runtime, Timestamp};
use relive_storage::Generation;
use relive_storage::simulated_medium::SimulatedMedium;
use relive_storage::simulated_store::{Lie, SimulatedDisk, Unsynced};

use super::device::Device;
use super::expected::Expected;
use super::outside::{
    Ask, Cancel, Charge, GiveUp, Look, NAP, Node, Pass, RANG, Race, RunNumber, Set, Stumble, TIMER, Tell,
    builder, unable_builder,
};
use super::words::{Case, Op, Point, Who};

/// Why a run does not go on.
#[derive(Debug)]
pub(crate) enum End {
    /// The power went.
    PowerLost,
    /// A promise is broken.
    Broken(String),
}

pub(crate) struct Run {
    pub(crate) disk: Device,
    /// The number of calls when the last recovery had been compared, before the run went on.
    pub(crate) back: usize,
    /// What the device does wrong during the operations.
    pub(crate) lie: Option<Lie>,
    /// After each loss of power, code that can handle nothing opens the store first.
    pub(crate) relapses: bool,
    /// What the actors wait for. Under `BeforeOutput` commits follow the clock too, so the calls
    /// are no function of the operations, and a planned call may never come.
    pub(crate) discipline: Discipline,
    /// Where the power goes after the next time.
    points: VecDeque<Point>,
    expected: Expected,
    runtime: Option<Runtime>,
    number: RunNumber,
    /// The time of timers and sleeps.
    clock: ManualClock,
}

impl Run {
    pub(crate) fn new(case: &Case) -> Self {
        Self::on(Device::Store(SimulatedDisk::new(case.seed())), case)
    }

    /// On the store over a medium, at the calls of the medium.
    pub(crate) fn on_medium(case: &Case) -> Self {
        Self::on(Device::Medium(SimulatedMedium::new(case.seed())), case)
    }

    fn on(disk: Device, case: &Case) -> Self {
        let mut run = Self {
            disk,
            back: 0,
            lie: None,
            relapses: false,
            discipline: Discipline::BeforeHandling,
            points: case.points.iter().copied().collect(),
            expected: Expected::default(),
            runtime: None,
            number: RunNumber::new(),
            clock: ManualClock::new(Timestamp::from_micros(1_000_000)),
        };
        run.plan_the_next();
        run
    }

    fn plan_the_next(&mut self) {
        if let Some(point) = self.points.pop_front() {
            self.disk.plan(&point);
        }
    }

    /// Opens and does all operations.
    pub(crate) async fn all(&mut self, word: &[Op]) -> Result<(), End> {
        self.open().await?;
        self.disk.set_lie(self.lie);
        for op in word {
            self.op(*op).await?;
        }
        Ok(())
    }

    /// Opens the runtime on the device.
    async fn open(&mut self) -> Result<(), End> {
        let store = self.disk.open().map_err(|error| self.ended(&error))?;
        let opened = builder(self.discipline).clock(self.clock.clone()).open_on(store).await;
        let runtime = opened.map_err(|error| self.ended(&error))?;
        let (epoch, failed) = (runtime.recovery().epoch.get(), runtime.recovery().failed.clone());
        self.runtime = Some(runtime);
        if let Some(failure) = failed.first() {
            return Err(End::Broken(format!("an actor was not restored: {failure}")));
        }
        if epoch <= self.expected.epoch {
            let before = self.expected.epoch;
            return Err(End::Broken(format!("epoch {epoch} serves after epoch {before}")));
        }
        self.expected.epoch = epoch;
        Ok(())
    }

    async fn shut_down(&mut self) -> Result<(), End> {
        match self.runtime.take() {
            Some(runtime) => runtime.shutdown().await.map(drop).map_err(|error| self.ended(&error)),
            None => Ok(()),
        }
    }

    /// Only a loss of power explains an error; any other error breaks a promise.
    fn ended(&self, error: &dyn std::error::Error) -> End {
        if self.disk.has_power() { End::Broken(format!("unexpected: {error}")) } else { End::PowerLost }
    }

    async fn op(&mut self, op: Op) -> Result<(), End> {
        let id = self.expected.issue(op);
        let run = self.number.0;
        match op {
            Op::Tell(who) => {
                let receipt = match self.node(who).tell(Tell { run, id }).await {
                    Ok(receipt) => receipt,
                    Err(error) => {
                        self.expected.refused();
                        return Err(self.ended(&error));
                    }
                };
                receipt.durable().await.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(None);
                self.until(|run| run.number.was_handled(who.key(), id)).await
            }
            Op::Pass(who) => {
                let to = who.other().key().to_owned();
                self.node(who).ask(Pass { run, id, to }).await.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(None);
                self.until(|run| run.number.was_handled(who.other().key(), id)).await
            }
            Op::Charge(who) => {
                let reply = self.node(who).ask(Charge { run, id }).await;
                let reply = reply.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(Some(reply));
                Ok(())
            }
            Op::Stumble(who) => {
                self.node(who).ask(Stumble { run, id }).await.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(None);
                Ok(())
            }
            Op::GiveUp(who) => match self.node(who).ask(GiveUp { run, id }).await {
                Ok(()) => Err(End::Broken("a side effect was given up, and all went well".to_owned())),
                Err(AskError::Quarantined(_)) => {
                    self.expected.went_into_quarantine();
                    Ok(())
                }
                Err(error) => Err(self.ended(&error)),
            },
            Op::Ask(_) | Op::Race(_) | Op::Outsleep(_) => self.ask_op(op, id).await,
            Op::Set(_) | Op::Cancel(_) | Op::Ring => self.timer_op(op, id).await,
            Op::Checkpoint(who) => {
                let commits = self.runtime().stats().commits;
                let rsn = self.node(who).checkpoint().await.map_err(|error| self.ended(&error))?;
                self.expected.checkpointed.insert(who, rsn.get());
                self.expected.acknowledged(None);
                // The checkpoint's mark follows it into the log, and no caller waits for that.
                self.until(|run| run.runtime().stats().commits > commits).await
            }
            Op::Cut => {
                let start = self.runtime().cut_log().await.map_err(|error| self.ended(&error))?;
                self.expected.cut = start.get();
                self.expected.acknowledged(None);
                Ok(())
            }
            Op::Reopen => {
                self.expected.acknowledged(None);
                self.shut_down().await?;
                self.open().await
            }
        }
    }

    /// An operation in which an actor asks the other one.
    async fn ask_op(&mut self, op: Op, id: u32) -> Result<(), End> {
        let run = self.number.0;
        match op {
            Op::Ask(who) => {
                let to = who.other().key().to_owned();
                self.node(who).ask(Ask { run, id, to }).await.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(None);
            }
            Op::Race(who) | Op::Outsleep(who) => {
                let (to, waits) = (who.other().key().to_owned(), matches!(op, Op::Outsleep(_)));
                let race = self.node(who);
                let race = tokio::spawn(async move { race.ask(Race { run, id, to, waits }).await });
                if waits {
                    self.until(|run| run.number.is_waiting(id)).await?;
                    self.clock.advance(NAP);
                }
                let won = race.await.expect("it does not panic");
                let won = won.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(Some((won, 0)));
                // The other node handles the request, also when the sleep has won.
                self.number.let_go(id);
                self.until(|run| run.number.was_handled(who.other().key(), id)).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// An operation on timers.
    async fn timer_op(&mut self, op: Op, id: u32) -> Result<(), End> {
        let run = self.number.0;
        match op {
            Op::Set(who) => {
                self.node(who).ask(Set { run, id }).await.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(None);
            }
            Op::Cancel(who) => {
                self.node(who).ask(Cancel { run, id }).await.map_err(|error| self.ended(&error))?;
                self.expected.acknowledged(None);
            }
            _ => {
                let timers = self.expected.timers();
                // The time comes whatever crashes.
                self.expected.acknowledged(None);
                self.clock.advance(TIMER);
                for (who, set) in timers {
                    self.until(|run| run.number.was_handled(who.key(), set | RANG)).await?;
                }
            }
        }
        Ok(())
    }

    /// Waits, without any simulated time passing, until something that runs by itself has ended.
    async fn until(&self, done: impl Fn(&Self) -> bool) -> Result<(), End> {
        while !done(self) {
            if !self.disk.has_power() {
                return Err(End::PowerLost);
            }
            // The thread that this waits for may have no processor.
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
        // Until the turn is over, too.
        for _ in 0..4 {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("operations are done on an open runtime")
    }

    fn node(&self, who: Who) -> ActorRef<Node> {
        self.runtime().actor(who.key()).unwrap()
    }

    /// The power goes, unless it is gone already, and the process ends.
    pub(crate) async fn crash(&mut self, unsynced: Unsynced) {
        if self.disk.has_power() {
            self.disk.lose_power(unsynced);
        }
        self.disk.set_lie(None);
        if self.discipline == Discipline::BeforeOutput {
            self.disk.plan_nothing();
        }
        self.expected.crashes += 1;
        self.expected.last().into_iter().for_each(|id| self.number.let_go(id));
        if let Some(runtime) = self.runtime.take() {
            runtime.crash().await;
        }
        self.plan_the_next();
    }

    /// Opens the store with code that can handle nothing, and crashes. Whatever that code does, no
    /// actor leaves anything out.
    pub(crate) async fn relapse(&mut self) -> Result<(), End> {
        let store = self.disk.open().map_err(|error| self.ended(&error))?;
        let opened = unable_builder().open_on(store).await;
        let runtime = opened.map_err(|error| self.ended(&error))?;
        self.expected.epoch = runtime.recovery().epoch.get();
        // The runtime tries now what it found.
        for _ in 0..50 {
            std::thread::yield_now();
            tokio::task::yield_now().await;
        }
        let quarantined = runtime.quarantined();
        runtime.crash().await;
        match quarantined.iter().find(|entry| !entry.reason.contains(GAVE_UP)) {
            Some(entry) => Err(End::Broken(format!("left out by code that can do nothing: {entry:?}"))),
            None => Ok(()),
        }
    }

    /// Comes back after a loss of power, and compares what is there with what must be there.
    pub(crate) async fn recover(&mut self) -> Result<(), End> {
        self.look_at_the_device()?;
        self.open().await?;
        if self.expected.may_have_more_to_do() || self.runtime().recovery().in_probation {
            // Waits for the end of it before anything else happens, so that the calls do not depend
            // on the speed of threads.
            self.shut_down().await?;
            self.open().await?;
        }
        self.compare().await?;
        self.back = self.disk.calls();
        Ok(())
    }

    /// Goes on where it came back, loses the power once more, between two calls, and comes back
    /// again.
    pub(crate) async fn go_on(&mut self) -> Result<(), End> {
        for channel in self.expected.channels() {
            self.op(Op::Pass(channel)).await?;
        }
        self.crash(Unsynced::Dropped).await;
        self.open().await?;
        self.compare().await?;
        if self.expected.has_timers() {
            self.op(Op::Ring).await?;
            self.compare().await?;
        }
        Ok(())
    }

    /// Checks what the runtime reported as durable beside the log.
    fn look_at_the_device(&self) -> Result<(), End> {
        let ended = |error| self.ended(&error);
        let store = self.disk.open().map_err(ended)?;
        let start = store.extent().map_err(ended)?.start.get();
        if start < self.expected.cut {
            let cut = self.expected.cut;
            return Err(End::Broken(format!("the log was cut at {cut}, and begins at {start}")));
        }
        for who in Who::BOTH {
            let id = ActorId::new("node", who.key()).unwrap();
            let found = store.get(&id, Generation::Newest).map_err(ended)?;
            let found = found.map_or(0, |checkpoint| checkpoint.header.rsn.get());
            let told = self.expected.checkpointed.get(&who).copied().unwrap_or_default();
            if found < told {
                let what = format!("{who:?} was checkpointed at {told}, the newest checkpoint is at {found}");
                return Err(End::Broken(what));
            }
        }
        // On a medium the end of an opening writes, and no caller learns the outcome.
        drop(store);
        if self.disk.has_power() { Ok(()) } else { Err(End::PowerLost) }
    }

    async fn compare(&mut self) -> Result<(), End> {
        let mut compared = self.compare_states().await;
        // A timer whose time came while the power was off fires now, and nobody waits for it.
        let since = Instant::now();
        while matches!(compared, Err(End::Broken(_)))
            && self.expected.has_timers()
            && since.elapsed() < FIRES_WITHIN
        {
            tokio::task::yield_now().await;
            compared = self.compare_states().await;
        }
        compared?;
        self.compare_quarantine()?;
        self.number.with(|outside| self.expected.compare_outside(outside)).map_err(End::Broken)
    }

    async fn compare_states(&mut self) -> Result<(), End> {
        let mut found = BTreeMap::new();
        for who in self.expected.passive_first() {
            let state = self.node(who).ask(Look {}).await.map_err(|error| self.ended(&error))?;
            found.insert(who, state.entries);
        }
        self.expected.compare(&found).map_err(End::Broken)
    }

    /// Checks that the actors left out the given-up deliveries, and nothing else.
    fn compare_quarantine(&self) -> Result<(), End> {
        let quarantined = self.runtime().quarantined();
        let is_right = quarantined.iter().all(|entry| entry.reason.contains(GAVE_UP));
        if is_right && self.expected.left_out().contains(&quarantined.len()) {
            return Ok(());
        }
        Err(End::Broken(format!("{quarantined:?} are left out, expected {:?}", self.expected.left_out())))
    }
}

/// After this real time a timer that has not fired is lost.
const FIRES_WITHIN: Duration = Duration::from_secs(5);

/// The reason for leaving out a delivery that gave up what it had begun.
const GAVE_UP: &str = "gave it up before it was done";
