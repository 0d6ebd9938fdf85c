//! What a campaign of kills may add to the lives of its stores: arguments of workers, lives that end well, and what is held
//! against what workers say beside the usual.

use crate::random::Random;
use crate::workload::part::LEFT_ALONE;
use crate::workload::{Line, Outcome, Part, Survey, Witness};

/// The campaign that does nothing but kill.
#[derive(Clone, Copy, Debug)]
pub struct Kills;

impl Course for Kills {}

/// What a campaign adds.
pub trait Course {
    /// A new store begins.
    fn store(&mut self) {}

    /// What each opening of the store is told.
    fn store_arguments(&self) -> Vec<String> {
        Vec::new()
    }

    /// After how many records an actor is checkpointed, instead of after so many.
    fn checkpoint_records(&self, random: &mut Random, drawn: u64) -> u64 {
        let _ = random;
        drawn
    }

    /// Draws what the next worker is told; gives whether it is to end well.
    fn draw(&mut self, random: &mut Random, witness: &Witness) -> (Vec<String>, bool) {
        let _ = witness;
        // States that panic when they are dropped change nothing.
        let states_panic = random.one_in(8);
        (states_panic.then(|| "--states-panic".to_owned()).into_iter().collect(), false)
    }

    /// Takes in what a worker said.
    ///
    /// # Errors
    /// A broken promise.
    fn hear(&mut self, line: &Line, witness: &Witness) -> Result<(), String> {
        let _ = (line, witness);
        Ok(())
    }

    /// An actor has stopped.
    ///
    /// # Errors
    /// It must not, unless it is left alone because of the kills.
    fn stops(&mut self, actor: &str, why: &str) -> Result<(), String> {
        if why.starts_with(LEFT_ALONE) { Ok(()) } else { Err(format!("{actor} has stopped: {why}")) }
    }

    /// Judges what came back of the actors that go on, beside the usual.
    ///
    /// # Errors
    /// A broken promise.
    fn part_came_back(&mut self, part: &Part, outcome: &Outcome) -> Result<(), String> {
        let _ = (part, outcome);
        Ok(())
    }

    /// Judges what came back, beside the usual.
    ///
    /// # Errors
    /// A broken promise.
    fn came_back(&mut self, survey: &Survey, witness: &Witness) -> Result<(), String> {
        let _ = (survey, witness);
        Ok(())
    }

    /// A worker has ended; `closed` when it had shut down.
    fn ended(&mut self, closed: bool) {
        let _ = closed;
    }

    /// How the present worker was told to be, to be put behind how the one before was to die.
    fn present(&self) -> String {
        String::new()
    }
}
