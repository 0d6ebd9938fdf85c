//! What the outside knows of the requests to clerks: sent, answered and refused ones, and what
//! queries have shown.

use std::collections::{BTreeMap, BTreeSet};

use super::clerk::Deed;
use super::protocol::Line;

/// What the outside knows of requests.
#[derive(Clone, Debug, Default)]
pub struct RequestView {
    /// The highest number that a worker ever announced to send.
    pub issued: u64,
    /// The replies.
    pub answered: BTreeMap<u64, u64>,
    /// How often a reply came again, and was the same.
    pub repeated: u64,
    /// Requests that were refused.
    pub refused: BTreeSet<u64>,
    /// The highest count of each actor that a query has shown.
    pub shown: BTreeMap<String, u64>,
    /// What clerks have done, as readbacks have shown it.
    pub deeds: BTreeMap<u64, Deed>,
}

impl RequestView {
    /// Takes in a line of the process under test.
    ///
    /// # Errors
    /// A request has another reply than before, or a query shows less than one before.
    pub fn hear(&mut self, line: &Line) -> Result<(), String> {
        match line {
            Line::Request(number) => self.issued = self.issued.max(*number),
            Line::Answered { number, reply } => match self.answered.insert(*number, *reply) {
                Some(before) if before != *reply => {
                    return Err(format!(
                        "same reply: request {number} was answered {before:016x}, and now {reply:016x}"
                    ));
                }
                before => self.repeated += u64::from(before.is_some()),
            },
            Line::Refused(number) => {
                self.refused.insert(*number);
            }
            Line::Shown { actor, count } => {
                let before = self.shown.entry(actor.clone()).or_default();
                if *count < *before {
                    return Err(format!(
                        "queries: one has shown {before} deliveries of {actor}, the next one {count}"
                    ));
                }
                *before = *count;
            }
            _ => {}
        }
        Ok(())
    }

    /// The lowest number of a request without a reply.
    #[must_use]
    pub fn next(&self) -> u64 {
        (1..).find(|number| !self.answered.contains_key(number)).unwrap_or(1)
    }
}
