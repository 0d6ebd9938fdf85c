//! Which part of the log the store keeps, and how many bytes that is; tells the back-pressure of
//! each change. Knows no store and no actor.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};

use relive_storage::Lsn;

use crate::backpressure::Backpressure;
use crate::limits::{carried_together_bytes, cut_from_bytes, cut_worth_bytes};
use crate::sync::{Mutex, MutexGuard, Notify, Rank};

/// The budget of the log: what the store keeps of it.
pub(crate) struct LogBudget {
    kept: Mutex<RetainedRange>,
    /// Holds senders back. Learns of changes only under the lock of `kept`.
    backpressure: Arc<Backpressure>,
    /// Wakes the task that cuts the log, when the log has grown.
    grown: Notify,
    carried: StdMutex<CarriedBytes>,
}

/// What was carried to the end of the log. Counts by the bytes that were ever logged.
#[derive(Default)]
struct CarriedBytes {
    /// How many bytes, and when.
    entries: VecDeque<(u64, u64)>,
    /// When the next time is.
    next: u64,
}

/// The part of the log that the store keeps. The runtime knows it in steps: where each step begins,
/// and how many bytes stand before it.
///
/// A step begins where a block ends, and so does one at the end of the log. So the runtime knows
/// which actors need the last block, and what a cut behind it frees, however large that block is.
pub(crate) struct RetainedRange {
    /// Where the log begins.
    pub(crate) start: Lsn,
    /// Where the next block will begin.
    pub(crate) next: Lsn,
    /// The beginnings of the steps, each with the number of bytes before it.
    pub(crate) steps: VecDeque<(Lsn, u64)>,
    /// How many bytes the log held at the opening, plus all bytes logged since.
    pub(crate) total: u64,
    /// The size of a step in bytes: the granularity at which the runtime knows what a cut would
    /// free.
    pub(crate) step_bytes: u64,
    /// The budget in bytes. Senders outside wait while the log is larger, unless it may grow.
    pub(crate) budget: u64,
    /// Waiting does not help, so the log may grow over its budget.
    pub(crate) may_grow: bool,
}

impl RetainedRange {
    fn bytes(&self) -> u64 {
        let (total, before) = (self.total, self.before());
        // Wrapped around, the size would hold all senders back for ever.
        assert!(before <= total, "{before} bytes are cut of a log that had {total}");
        total - before
    }

    fn is_over(&self) -> bool {
        self.bytes() > self.budget
    }

    fn before(&self) -> u64 {
        self.steps.front().map_or(0, |(_, total)| *total)
    }

    /// Begins a step where the log ends, if the last one is large enough. Returns whether it did.
    fn end_step(&mut self) -> bool {
        let last = self.steps.back().map_or(0, |(_, total)| *total);
        let ends = self.total - last >= self.step_bytes;
        if ends {
            self.steps.push_back((self.next, self.total));
        }
        ends
    }
}

impl LogBudget {
    pub(crate) fn new(mut kept: RetainedRange) -> Self {
        if kept.steps.is_empty() {
            kept.steps.push_back((kept.start, 0));
        }
        kept.end_step();
        let backpressure = Arc::new(Backpressure::new(kept.budget));
        let (kept, carried) = (Mutex::new(Rank::LogBudget, kept), StdMutex::default());
        let log_budget = Self { kept, backpressure, grown: Notify::new(), carried };
        log_budget.judge(&log_budget.kept());
        log_budget
    }

    /// A block is on stable storage, and the next one begins at `next`.
    pub(crate) fn keep(&self, next: Lsn, bytes: u64) {
        let mut kept = self.kept();
        assert!(next > kept.next, "a block ends at {next}, the log ends at {}", kept.next);
        kept.next = next;
        kept.total += bytes;
        if kept.end_step() {
            self.grown.notify_one();
        }
        self.judge(&kept);
    }

    /// The log begins here now.
    pub(crate) fn was_cut(&self, start: Lsn) {
        let mut kept = self.kept();
        kept.start = start;
        // The step in which the cut lies stays, so the size errs to the side of too large.
        while kept.steps.len() > 1 && kept.steps[1].0 <= start {
            kept.steps.pop_front();
        }
        self.judge(&kept);
    }

    /// Lets the log grow over its budget, because waiting does not help. Returns whether this is a
    /// change.
    pub(crate) fn let_grow(&self) -> bool {
        let mut kept = self.kept();
        let before = std::mem::replace(&mut kept.may_grow, true);
        self.judge(&kept);
        !before
    }

    /// Holds the log to its budget again, because waiting may help.
    pub(crate) fn hold_to_budget(&self) {
        let mut kept = self.kept();
        kept.may_grow = false;
        self.judge(&kept);
    }

    /// Whether the log is over its budget, even when no sender waits for that.
    pub(crate) fn is_over(&self) -> bool {
        self.kept().is_over()
    }

    /// Holds senders back, or lets them in.
    fn judge(&self, kept: &RetainedRange) {
        self.backpressure.set(kept.bytes(), if kept.may_grow { u64::MAX } else { kept.budget });
    }

    /// What holds senders outside back while the log is over its budget.
    pub(crate) fn backpressure(&self) -> &Arc<Backpressure> {
        &self.backpressure
    }

    /// How many bytes of log the store keeps.
    pub(crate) fn bytes(&self) -> u64 {
        self.kept().bytes()
    }

    /// How many bytes a cut below `position` would free, to the granularity of a step.
    pub(crate) fn bytes_below(&self, position: Lsn) -> u64 {
        let kept = self.kept();
        let last = kept.steps.iter().take_while(|(lsn, _)| *lsn <= position).last();
        last.map_or(0, |(_, total)| total - kept.before())
    }

    /// Where to cut so that at most `bytes` remain, to the granularity of a step.
    pub(crate) fn position_keeping(&self, bytes: u64) -> Lsn {
        let kept = self.kept();
        // A log that never had so many bytes needs no cut.
        let floor = kept.total.saturating_sub(bytes);
        let first_kept = kept.steps.iter().find(|(_, total)| *total >= floor);
        first_kept.or(kept.steps.back()).map_or(Lsn::FIRST, |(lsn, _)| *lsn)
    }

    /// How many bytes may be carried to the end of the log now: what all may take in the time in
    /// which the log is written anew once, without what they took. 0 when the log has not grown
    /// since the last time.
    pub(crate) fn carry_room(&self) -> u64 {
        let (total, budget) = self.written();
        let mut carried = self.carried();
        while carried.entries.front().is_some_and(|(at, _)| at + cut_from_bytes(budget) <= total) {
            carried.entries.pop_front();
        }
        let taken = carried.entries.iter().map(|(_, bytes)| bytes).sum();
        if total < carried.next { 0 } else { carried_together_bytes(budget).saturating_sub(taken) }
    }

    /// So many bytes were carried, and nothing is before the log has grown; unless there is `more`.
    pub(crate) fn was_carried(&self, bytes: u64, more: bool) {
        let (total, budget) = self.written();
        let mut carried = self.carried();
        if bytes > 0 {
            carried.entries.push_back((total, bytes));
        }
        carried.next = total + if more { 0 } else { cut_worth_bytes(budget) };
    }

    /// The bytes that were ever logged, and the budget.
    fn written(&self) -> (u64, u64) {
        let kept = self.kept();
        (kept.total, kept.budget)
    }

    fn carried(&self) -> std::sync::MutexGuard<'_, CarriedBytes> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cut may now free more of the log than before.
    pub(crate) fn loosened(&self) {
        self.grown.notify_one();
    }

    /// Waits until the log has grown by a step, or a cut may free more of it.
    pub(crate) async fn grown(&self) {
        self.grown.notified().await;
    }

    /// Wakes every task that waits for the log to grow: it does not grow any more.
    pub(crate) fn end(&self) {
        self.grown.notify_waiters();
    }

    fn kept(&self) -> MutexGuard<'_, RetainedRange> {
        self.kept.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log_budget(budget: u64) -> LogBudget {
        let (start, next) = (Lsn::new(1), Lsn::new(1));
        let (steps, total, step_bytes, may_grow) = (VecDeque::new(), 0, 10, false);
        LogBudget::new(RetainedRange { start, next, steps, total, step_bytes, budget, may_grow })
    }

    /// Invariant: bounded. Senders wait from the commit that brings the log over its budget until
    /// the cut that brings it back.
    #[test]
    fn senders_wait_while_the_log_is_over_its_budget() {
        let log_budget = log_budget(30);
        for next in 2..=4 {
            log_budget.keep(Lsn::new(next), 10);
            assert!(!log_budget.backpressure().is_held_back());
        }
        log_budget.keep(Lsn::new(5), 10);
        assert!(log_budget.backpressure().is_held_back());
        assert_eq!((log_budget.bytes(), log_budget.bytes_below(Lsn::new(3))), (40, 20));
        log_budget.was_cut(Lsn::new(3));
        assert_eq!((log_budget.bytes(), log_budget.kept().start), (20, Lsn::new(3)));
        assert!(!log_budget.backpressure().is_held_back());
    }

    /// Invariant: bounded. One block over the whole budget, as after a disk that stood still, does
    /// not hide who needs it: checkpoints of those and a cut behind it bring the log back.
    #[test]
    fn a_block_over_the_budget_can_be_cut() {
        let log_budget = log_budget(30);
        log_budget.keep(Lsn::new(8), 100);
        assert!(log_budget.backpressure().is_held_back());
        assert_eq!(log_budget.position_keeping(15), Lsn::new(8));
        assert_eq!(log_budget.bytes_below(Lsn::new(8)), 100);
        log_budget.was_cut(Lsn::new(8));
        assert!(!log_budget.backpressure().is_held_back());
    }

    /// The same of a log that an opening has found.
    #[test]
    fn the_end_of_a_log_that_was_found_can_be_cut() {
        let (start, next, steps) = (Lsn::new(1), Lsn::new(9), VecDeque::from([(Lsn::new(1), 0)]));
        let range =
            RetainedRange { start, next, steps, total: 100, step_bytes: 10, budget: 30, may_grow: false };
        let log_budget = LogBudget::new(range);
        assert_eq!(log_budget.position_keeping(15), Lsn::new(9));
        assert_eq!(log_budget.bytes_below(Lsn::new(9)), 100);
    }

    /// Invariant: bounded. What is carried is a part of what is logged.
    #[test]
    fn what_is_carried_is_bounded_by_what_is_logged() {
        let log_budget = log_budget(160);
        assert_eq!(log_budget.carry_room(), 40);
        log_budget.was_carried(30, true);
        assert_eq!(log_budget.carry_room(), 10, "there are more");
        log_budget.was_carried(10, false);
        log_budget.keep(Lsn::new(2), 9);
        assert_eq!(log_budget.carry_room(), 0, "the log has hardly grown");
        log_budget.keep(Lsn::new(3), 70);
        assert_eq!(log_budget.carry_room(), 0);
        log_budget.keep(Lsn::new(4), 1);
        assert_eq!(log_budget.carry_room(), 40, "half of the budget was written");
    }

    #[test]
    fn a_log_that_may_grow_holds_nobody_back() {
        let log_budget = log_budget(5);
        log_budget.keep(Lsn::new(2), 10);
        assert!(log_budget.backpressure().is_held_back());
        assert!(log_budget.let_grow());
        assert!(!log_budget.let_grow(), "it may grow already");
        log_budget.keep(Lsn::new(3), 10);
        assert!(!log_budget.backpressure().is_held_back());
        log_budget.hold_to_budget();
        assert!(log_budget.backpressure().is_held_back());
    }
}
