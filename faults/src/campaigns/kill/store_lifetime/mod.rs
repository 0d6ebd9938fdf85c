//! The life of one store through many deaths of its workers, and the checks of each next worker.
//! Knows one store, not how many there are.

mod ending;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use super::course::Course;
use super::fault::{Conditions, Death, Fault, Phase, draw};
use super::table::Table;
use crate::harness::effect_ledger;
use crate::harness::medium::StoreMedium;
use crate::harness::process::Process;
use crate::harness::random::Random;
use crate::harness::worker::{Sabotage, Tier};
use crate::workload::part::LEFT_ALONE;
use crate::workload::plan::{ACCOUNTS, share};
use crate::workload::{ClientView, Line, Plan, Readback, judge, judge_part};

/// How a store and its workers are set up.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program that has the commands `worker`, `verify` and `effects`.
    pub program: PathBuf,
    /// Where the store and the ledger are.
    pub directory: PathBuf,
    /// The durability tier.
    pub tier: Tier,
    /// The medium of the store.
    pub medium: StoreMedium,
    /// The seed of every choice about this store.
    pub seed: u64,
    /// The budget of the log; drawn when it is not given.
    pub log_bytes: Option<u64>,
    /// How often an actor may try a delivery during which a worker died.
    pub tries: u32,
    /// Whether `strace` may be used.
    pub strace: bool,
    /// How many milliseconds an actor waits before it tries a delivery again.
    pub backoff: Option<u64>,
    /// A deliberate mistake of the workers.
    pub sabotage: Option<Sabotage>,
}

/// A store that lives through the deaths of its workers.
pub struct Life<'c> {
    setup: Setup,
    course: &'c mut dyn Course,
    random: Random,
    plan: Plan,
    view: ClientView,
    effects: Process,
    /// The highest epoch of any opening.
    epoch: u64,
    /// What came back last time, by account.
    recovered: Vec<u64>,
    /// Whether a worker has sent anything since.
    sent: bool,
    /// The phase in which the last worker died.
    before: Option<Phase>,
    /// Whether the last worker was killed.
    killed: bool,
    /// The death planned for the last worker.
    fault: String,
    log_bytes: u64,
    checkpoint_records: u64,
}

/// Why a cycle does not count: what the supervisor found, and the worker's standard error.
pub struct Broken {
    /// What the supervisor found.
    pub what: String,
    /// The worker's standard error.
    pub errors: String,
}

impl<E: std::error::Error> From<E> for Broken {
    fn from(error: E) -> Self {
        Self { what: error.to_string(), errors: String::new() }
    }
}

fn broken(what: impl Into<String>) -> Broken {
    Broken { what: what.into(), errors: String::new() }
}

impl<'c> Life<'c> {
    /// Begins the life of a store: starts its ledger of effects.
    ///
    /// # Errors
    /// The ledger did not start.
    pub fn begin(setup: Setup, course: &'c mut dyn Course) -> Result<Self, Broken> {
        course.store();
        let mut random = Random::new(setup.seed);
        let mut command = Command::new(&setup.program);
        command.arg("effects").arg("--socket").arg(setup.directory.join("socket"));
        command.arg("--file").arg(setup.directory.join("effects"));
        let effects = Process::start(&mut command)?;
        match effects.line("starting the ledger of effects")? {
            Some(line) if line == "listening" => {}
            _ => return Err(broken("the ledger of effects did not start")),
        }
        let drawn = if setup.seed.is_multiple_of(4) { NEVER_CUT } else { *random.pick(&LOG_BYTES) };
        let log_bytes = setup.log_bytes.unwrap_or(drawn);
        let checkpoint_records = 10 + random.below(40);
        let checkpoint_records = course.checkpoint_records(&mut random, checkpoint_records);
        Ok(Self {
            plan: Plan::new(setup.seed),
            log_bytes,
            checkpoint_records,
            setup,
            course,
            random,
            view: ClientView { effects: Some(Default::default()), ..ClientView::default() },
            effects,
            epoch: 0,
            recovered: vec![0; usize::try_from(ACCOUNTS).unwrap_or_default()],
            sent: false,
            before: None,
            killed: false,
            fault: "nothing".to_owned(),
        })
    }

    /// How the last worker was to die.
    #[must_use]
    pub fn last_fault(&self) -> String {
        self.fault.clone()
    }

    /// Starts a worker, which says what came back of the workers before, and lets it die of
    /// `fault`, or of a drawn fault when there is none.
    ///
    /// # Errors
    /// A broken promise.
    pub fn cycle(&mut self, fault: Option<Fault>, table: &mut Table) -> Result<(), Broken> {
        let (tier, medium, strace) = (self.setup.tier, self.setup.medium, self.setup.strace);
        let fresh = !self.setup.directory.join("store/relive.store").exists();
        let conditions = Conditions { tier, medium, fresh, before: self.before, strace };
        let drawn = draw(&mut self.random, conditions);
        let (told, ends_well) = self.course.draw(&mut self.random, &self.view);
        let drawn = if ends_well { Fault::none(&mut self.random) } else { drawn };
        let fault = fault.unwrap_or(drawn);
        if self.random.one_in(6) && !fresh && medium == StoreMedium::Sled {
            self.leave_a_half_written_snapshot()?;
            table.leftovers += 1;
        }
        self.fault.push_str(&self.course.present());
        self.mark_effects()?;
        let mut command = self.worker(&fault);
        command.args(told);
        let acknowledged = self.view.acknowledged_in_all();
        let (answered, repeated) = (self.view.requests.answered.len() as u64, self.view.requests.repeated);
        let mut process = Process::start(&mut command)?;
        let ended = self.listen(&mut process, &fault, table);
        table.acknowledged += self.view.acknowledged_in_all() - acknowledged;
        table.answered += self.view.requests.answered.len() as u64 - answered;
        table.answered_again += self.view.requests.repeated - repeated;
        if ended.is_err() {
            process.kill();
        }
        let (status, errors) = process.end()?;
        let closed = ended.map_err(|Broken { what, .. }| Broken { what, errors: errors.clone() })?;
        self.view.epoch = self.epoch;
        self.course.ended(closed && status.success());
        self.killed = status.signal() == Some(9);
        match status.signal() {
            Some(9) => {
                *table.kills.entry(fault.phase).or_default() += 1;
                self.before = Some(fault.phase);
            }
            None if status.success() && closed => {
                table.not_hit += 1;
                self.before = None;
            }
            _ => return Err(Broken { what: format!("the worker ended by itself: {status}"), errors }),
        }
        self.fault = format!("{fault}{}", self.course.present());
        Ok(())
    }

    /// Listens to a worker until its output ends, and kills it when the fault says so. Returns
    /// whether the worker closed.
    fn listen(&mut self, process: &mut Process, fault: &Fault, table: &mut Table) -> Result<bool, Broken> {
        let (mut acknowledged, mut closed, mut doing) = (0, false, "starting");
        while let Some(line) = process.line(doing)? {
            let line: Line = line.parse().map_err(broken)?;
            self.view.hear(&line).map_err(broken)?;
            self.course.hear(&line, &self.view).map_err(broken)?;
            doing = "working";
            match line {
                Line::Opening => {
                    doing = "opening";
                    if let Death::AfterMicroseconds(time) = fault.death {
                        // The fault is a drawn moment, so nothing need have happened by then.
                        let since = Instant::now();
                        while since.elapsed() < Duration::from_micros(time) {
                            std::hint::spin_loop();
                        }
                        process.kill();
                    }
                }
                Line::Opened { epoch, replayed } => {
                    if epoch <= self.epoch {
                        return Err(broken(format!("single writer: epoch {epoch} follows {}", self.epoch)));
                    }
                    self.epoch = epoch;
                    table.replayed += replayed;
                    doing = "answering what came back";
                }
                Line::Readback(readback) => self.came_back(&readback, table)?,
                Line::Part(part) => {
                    part.stopped.iter().try_for_each(|(actor, why)| self.stops(actor, why))?;
                    self.read_effects()?;
                    let outcome = judge_part(&self.plan, &self.view, &part).map_err(broken)?;
                    self.course.part_came_back(&part, &outcome).map_err(broken)?;
                    part.journals().for_each(|(actor, life)| self.view.remember_life(&actor, life));
                    self.view.remember_deeds(&part.clerks);
                    doing = "working, or ending";
                }
                Line::Stopped { actor, why } => {
                    table.left_alone += u64::from(why.starts_with(LEFT_ALONE));
                    self.stops(&actor, &why)?;
                }
                Line::Send(_) => self.sent = true,
                Line::Ack { .. } => {
                    acknowledged += 1;
                    if fault.death == Death::AfterAcknowledgements(acknowledged) {
                        process.kill();
                    }
                }
                Line::Failed(error) => {
                    return Err(broken(format!("the worker was refused something: {error}")));
                }
                Line::Closed => closed = true,
                _ => {}
            }
        }
        Ok(closed)
    }

    /// An actor has stopped. After a kill during its replay, one opening may leave it alone.
    fn stops(&mut self, actor: &str, why: &str) -> Result<(), Broken> {
        if why.starts_with(LEFT_ALONE) && !self.killed {
            return Err(broken(format!("{actor} is left alone after nobody was killed: {why}")));
        }
        self.course.stops(actor, why).map_err(broken)
    }

    /// Judges what came back.
    fn came_back(&mut self, readback: &Readback, table: &mut Table) -> Result<(), Broken> {
        self.read_effects()?;
        let outcome = judge(&self.plan, &self.view, readback)?;
        self.course.came_back(readback, &self.view).map_err(broken)?;
        table.judged(&outcome);
        table.tails_cut += u64::from(readback.torn_tail.is_some());
        for ((account, before), key) in readback.accounts.iter().zip(&mut self.recovered).zip(0..) {
            let found = account.posted.count;
            let known = self.view.acknowledged_of(key).max(*before);
            table.unknown_came_back += found.saturating_sub(known);
            if self.sent {
                table.unknown_did_not += share(key, self.view.issued) - found;
            }
            *before = found;
        }
        table.in_probation += u64::from(readback.in_probation);
        self.sent = false;
        self.view.remember(readback);
        Ok(())
    }

    /// Reads the ledger while a worker lives. The ledger holds that worker's effects too.
    fn read_effects(&mut self) -> Result<(), Broken> {
        let mut effects = effect_ledger::read(&self.setup.directory.join("effects"))?;
        if let Some(known) = &self.view.effects {
            for (key, effect) in &mut effects {
                effect.before_opening = known.get(key).is_some_and(|known| known.before_opening);
            }
        }
        self.view.effects = Some(effects);
        Ok(())
    }

    /// Reads the ledger while no worker lives: its effects happened before the next opening.
    fn mark_effects(&mut self) -> Result<(), Broken> {
        self.read_effects()?;
        let effects = self.view.effects.iter_mut().flat_map(|effects| effects.values_mut());
        effects.for_each(|effect| effect.before_opening = true);
        Ok(())
    }

    fn worker(&mut self, fault: &Fault) -> Command {
        let mut command = match &fault.death {
            Death::AtSystemCall { call, occurrence } => {
                let mut command = Command::new("strace");
                command.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
                command.args(["-e", &format!("inject={call}:signal=SIGKILL:when={occurrence}")]);
                command.arg(&self.setup.program);
                command
            }
            _ => Command::new(&self.setup.program),
        };
        // Handlers may panic on purpose, and often, so the worker prints no backtraces.
        command.arg("worker").env("RUST_BACKTRACE", "0");
        self.with_store(&mut command);
        // Sends some acknowledged messages again: the store must know them as received.
        let back = if self.random.one_in(3) { self.random.below(40) } else { 0 };
        let from = (self.view.acknowledged + 1).saturating_sub(back).max(1);
        let window = 1 + self.random.below(64);
        // Repeats answered requests: each has the same reply again.
        let requests = self.view.requests.next().saturating_sub(back).max(1);
        let numbers = [
            ("--seed", self.setup.seed),
            ("--from", from),
            ("--limit", fault.limit),
            ("--window", window),
            ("--requests-from", requests),
        ];
        for (name, number) in numbers {
            command.args([name, &number.to_string()]);
        }
        if let Death::AtBoundary(kill_at) = &fault.death {
            command.args(["--kill-at", &kill_at.to_string()]);
        }
        if let Some(sabotage) = self.setup.sabotage {
            command.args(["--sabotage", &sabotage.to_string()]);
        }
        command
    }

    fn with_store(&self, command: &mut Command) {
        command.arg("--store").arg(self.setup.directory.join("store"));
        command.arg("--effects").arg(self.setup.directory.join("socket"));
        command.args(["--tier", &self.setup.tier.to_string(), "--medium", &self.setup.medium.to_string()]);
        command.args(["--log-bytes", &self.log_bytes.to_string(), "--tries", &self.setup.tries.to_string()]);
        command.args(["--checkpoint-records", &self.checkpoint_records.to_string()]);
        if let Some(backoff) = self.setup.backoff {
            command.args(["--backoff", &backoff.to_string()]);
        }
        command.args(self.course.store_arguments());
    }

    /// Leaves what an interrupted write of a snapshot of sled leaves.
    fn leave_a_half_written_snapshot(&mut self) -> io::Result<()> {
        let store = self.setup.directory.join("store");
        let content: Vec<u8> =
            (0..self.random.below(400)).map(|_| self.random.bits().to_le_bytes()[0]).collect();
        let name = format!("snap.{:016X}.generating", self.random.bits());
        std::fs::write(store.join(name), content)
    }
}

/// A budget so large that the store never cuts its log. At the end of such a store its actors can
/// be replayed from the very start of the log.
const NEVER_CUT: u64 = 1 << 40;
const LOG_BYTES: [u64; 3] = [16 << 10, 64 << 10, 256 << 10];
