//! What a campaign may add to the kills: arguments of workers, lives that end in order, and further
//! checks of what workers say.

use crate::harness::random::Random;
use crate::workload::part::LEFT_ALONE;
use crate::workload::{ClientView, Line, Outcome, Part, Readback};

/// The campaign that only kills.
#[derive(Clone, Copy, Debug)]
pub struct Kills;

impl Course for Kills {}

/// What a campaign adds.
pub trait Course {
    /// A new store begins.
    fn store(&mut self) {}

    /// The arguments for each opening of the store.
    fn store_arguments(&self) -> Vec<String> {
        Vec::new()
    }

    /// After how many records an actor takes a checkpoint, instead of after `drawn`.
    fn checkpoint_records(&self, random: &mut Random, drawn: u64) -> u64 {
        let _ = random;
        drawn
    }

    /// Draws the arguments of the next worker, and whether it ends in order.
    fn draw(&mut self, random: &mut Random, view: &ClientView) -> (Vec<String>, bool) {
        let _ = view;
        // States that panic in their `drop` must change nothing.
        let states_panic = random.one_in(8);
        (states_panic.then(|| "--states-panic".to_owned()).into_iter().collect(), false)
    }

    /// Takes in a line of a worker.
    ///
    /// # Errors
    /// A broken promise.
    fn hear(&mut self, line: &Line, view: &ClientView) -> Result<(), String> {
        let _ = (line, view);
        Ok(())
    }

    /// An actor has stopped.
    ///
    /// # Errors
    /// The actor must not stop, unless an opening leaves it alone because of the kills.
    fn stops(&mut self, actor: &str, why: &str) -> Result<(), String> {
        if why.starts_with(LEFT_ALONE) { Ok(()) } else { Err(format!("{actor} has stopped: {why}")) }
    }

    /// Checks what came back of the actors that go on, in addition to the usual checks.
    ///
    /// # Errors
    /// A broken promise.
    fn part_came_back(&mut self, part: &Part, outcome: &Outcome) -> Result<(), String> {
        let _ = (part, outcome);
        Ok(())
    }

    /// Checks what came back, in addition to the usual checks.
    ///
    /// # Errors
    /// A broken promise.
    fn came_back(&mut self, readback: &Readback, view: &ClientView) -> Result<(), String> {
        let _ = (readback, view);
        Ok(())
    }

    /// A worker has ended; `closed` when it had shut down.
    fn ended(&mut self, closed: bool) {
        let _ = closed;
    }

    /// A description of the present worker, which reports append to the death planned for the
    /// worker before.
    fn present(&self) -> String {
        String::new()
    }
}
