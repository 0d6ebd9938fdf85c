//! The lines that the process under test prints, and that its parent, which outlives it, reads.
//!
//! | line | meaning |
//! | --- | --- |
//! | `opening` | the store is about to be opened |
//! | `opened EPOCH REPLAYED` | it is open |
//! | `readback JSON` | what came back |
//! | `send N` | message N is about to be sent |
//! | `ack N fresh`, `ack N duplicate` | its receipt is durable |
//! | `answer ACTOR RSN DIGEST` | an actor's answer, the digest in hexadecimal digits |
//! | `request N` | request N to a clerk is about to be sent |
//! | `answered N REPLY` | its reply, in hexadecimal digits |
//! | `refused N` | request N was refused, as it must be |
//! | `shown ACTOR COUNT` | a query has shown how many deliveries an actor has handled |
//! | `part JSON` | what came back of the actors that go on |
//! | `left-out JSON` | what is in quarantine right after the opening |
//! | `stopped ACTOR WHY` | an actor says that it has stopped |
//! | `covered N` | all messages up to N were handled, and the log tells so and what they did |
//! | `try N` | trial N is about to be sent |
//! | `tried N handled ANSWER`, `tried N left-out` | what came of it; without this line nothing is known |
//! | `discharge N retry`, `discharge N drop` | trial N is about to be taken out of quarantine |
//! | `discharged N` | it is |
//! | `boundaries JSON` | how often each boundary was reached, when that was asked for |
//! | `replayed N` | the actors were replayed from the very start of the log, by N deliveries, to the state that they have |
//! | `failed ERROR` | something was refused; the process ends |
//! | `closed` | it has shut down |

use std::fmt;
use std::str::FromStr;

use super::part::Part;
use super::readback::Readback;
use super::trial::LeftOut;

/// A line of the process under test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// The store is about to be opened.
    Opening,
    /// It is open.
    Opened {
        /// How often the store has been opened.
        epoch: u64,
        /// Deliveries replayed.
        replayed: u64,
    },
    /// What came back.
    Readback(Box<Readback>),
    /// A message is about to be sent.
    Send(u64),
    /// Its receipt is durable.
    Ack {
        /// Which.
        number: u64,
        /// Whether it had been received before.
        duplicate: bool,
    },
    /// An actor's answer.
    Answer {
        /// The actor.
        actor: String,
        /// The position of the question.
        rsn: u64,
        /// The digest of its life.
        chain: u64,
    },
    /// A request to a clerk is about to be sent.
    Request(u64),
    /// The reply to a request.
    Answered {
        /// Which.
        number: u64,
        /// The reply.
        reply: u64,
    },
    /// A request was refused, as it must be.
    Refused(u64),
    /// A query has shown an actor.
    Shown {
        /// The actor.
        actor: String,
        /// How many deliveries it has handled.
        count: u64,
    },
    /// What came back of the actors that go on.
    Part(Box<Part>),
    /// What is in quarantine right after the opening.
    LeftOut(Vec<LeftOut>),
    /// An actor says that it has stopped.
    Stopped {
        /// Which.
        actor: String,
        /// Why.
        why: String,
    },
    /// Actors have handled all messages up to this one, and the log tells so and what the messages
    /// did.
    Covered(u64),
    /// A trial is about to be sent.
    Try(u64),
    /// The outcome of a trial.
    Tried {
        /// Which.
        number: u64,
        /// The answer of the outside; `None` when the trial is in quarantine.
        answer: Option<u64>,
    },
    /// A trial is about to be taken out of quarantine.
    Discharge {
        /// Which.
        number: u64,
        /// Whether the worker retries it.
        retry: bool,
    },
    /// It was taken out.
    Discharged(u64),
    /// How often each boundary was reached, as JSON.
    Boundaries(String),
    /// The process replayed the actors from the very start of the log, and got their present
    /// states.
    Replayed {
        /// How many deliveries.
        deliveries: u64,
    },
    /// Something was refused.
    Failed(String),
    /// It has shut down.
    Closed,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => f.write_str("opening"),
            Self::Opened { epoch, replayed } => write!(f, "opened {epoch} {replayed}"),
            Self::Readback(readback) => write!(f, "readback {}", json(&**readback)?),
            Self::Send(number) => write!(f, "send {number}"),
            Self::Ack { number, duplicate: false } => write!(f, "ack {number} fresh"),
            Self::Ack { number, duplicate: true } => write!(f, "ack {number} duplicate"),
            Self::Answer { actor, rsn, chain } => write!(f, "answer {actor} {rsn} {chain:016x}"),
            Self::Request(number) => write!(f, "request {number}"),
            Self::Answered { number, reply } => write!(f, "answered {number} {reply:016x}"),
            Self::Refused(number) => write!(f, "refused {number}"),
            Self::Shown { actor, count } => write!(f, "shown {actor} {count}"),
            Self::Part(part) => write!(f, "part {}", json(&**part)?),
            Self::LeftOut(entries) => write!(f, "left-out {}", json(entries)?),
            Self::Stopped { actor, why } => write!(f, "stopped {actor} {}", why.replace('\n', " ")),
            Self::Covered(number) => write!(f, "covered {number}"),
            Self::Try(number) => write!(f, "try {number}"),
            Self::Tried { number, answer: Some(answer) } => write!(f, "tried {number} handled {answer}"),
            Self::Tried { number, answer: None } => write!(f, "tried {number} left-out"),
            Self::Discharge { number, retry: true } => write!(f, "discharge {number} retry"),
            Self::Discharge { number, retry: false } => write!(f, "discharge {number} drop"),
            Self::Discharged(number) => write!(f, "discharged {number}"),
            Self::Boundaries(json) => write!(f, "boundaries {json}"),
            Self::Replayed { deliveries } => write!(f, "replayed {deliveries}"),
            Self::Failed(error) => write!(f, "failed {}", error.replace('\n', " ")),
            Self::Closed => f.write_str("closed"),
        }
    }
}

fn json(value: &impl serde::Serialize) -> Result<String, fmt::Error> {
    serde_json::to_string(value).map_err(|_| fmt::Error)
}

impl FromStr for Line {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        parse(word, rest).ok_or_else(|| {
            let begin: String = line.chars().take(200).collect();
            format!("not a line of a worker: {begin:?}")
        })
    }
}

fn parse(word: &str, rest: &str) -> Option<Line> {
    let mut words = rest.split(' ');
    let line = match word {
        "opening" => Line::Opening,
        "opened" => {
            Line::Opened { epoch: words.next()?.parse().ok()?, replayed: words.next()?.parse().ok()? }
        }
        "readback" => Line::Readback(serde_json::from_str(rest).ok()?),
        "send" => Line::Send(rest.parse().ok()?),
        "ack" => {
            let number = words.next()?.parse().ok()?;
            match words.next()? {
                "fresh" => Line::Ack { number, duplicate: false },
                "duplicate" => Line::Ack { number, duplicate: true },
                _ => return None,
            }
        }
        "answer" => {
            let (actor, rsn) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
            Line::Answer { actor, rsn, chain: u64::from_str_radix(words.next()?, 16).ok()? }
        }
        "request" => Line::Request(rest.parse().ok()?),
        "answered" => {
            let number = words.next()?.parse().ok()?;
            Line::Answered { number, reply: u64::from_str_radix(words.next()?, 16).ok()? }
        }
        "refused" => Line::Refused(rest.parse().ok()?),
        "shown" => Line::Shown { actor: words.next()?.to_owned(), count: words.next()?.parse().ok()? },
        "part" => Line::Part(serde_json::from_str(rest).ok()?),
        "left-out" => Line::LeftOut(serde_json::from_str(rest).ok()?),
        "stopped" => {
            let (actor, why) = rest.split_once(' ')?;
            Line::Stopped { actor: actor.to_owned(), why: why.to_owned() }
        }
        "covered" => Line::Covered(rest.parse().ok()?),
        "try" => Line::Try(rest.parse().ok()?),
        "tried" => {
            let number = words.next()?.parse().ok()?;
            match words.next()? {
                "handled" => Line::Tried { number, answer: Some(words.next()?.parse().ok()?) },
                "left-out" => Line::Tried { number, answer: None },
                _ => return None,
            }
        }
        "discharge" => {
            let (number, what) = (words.next()?.parse().ok()?, words.next()?);
            Line::Discharge { number, retry: what == "retry" }
        }
        "discharged" => Line::Discharged(rest.parse().ok()?),
        "boundaries" => Line::Boundaries(rest.to_owned()),
        "replayed" => Line::Replayed { deliveries: rest.parse().ok()? },
        "failed" => Line::Failed(rest.to_owned()),
        "closed" => Line::Closed,
        _ => return None,
    };
    Some(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_understood() {
        let lines = [
            Line::Opening,
            Line::Opened { epoch: 3, replayed: 40 },
            Line::Readback(Box::default()),
            Line::Send(7),
            Line::Ack { number: 7, duplicate: false },
            Line::Ack { number: 8, duplicate: true },
            Line::Answer { actor: "account/3".to_owned(), rsn: 12, chain: u64::MAX },
            Line::Request(4),
            Line::Answered { number: 4, reply: u64::MAX },
            Line::Refused(4),
            Line::Shown { actor: "eager-clerk/1".to_owned(), count: 9 },
            Line::Part(Box::default()),
            Line::LeftOut(vec![LeftOut::default()]),
            Line::Stopped { actor: "account/3".to_owned(), why: "diverged at 3".to_owned() },
            Line::Covered(40),
            Line::Try(3),
            Line::Tried { number: 3, answer: Some(7) },
            Line::Tried { number: 3, answer: None },
            Line::Discharge { number: 3, retry: true },
            Line::Discharge { number: 3, retry: false },
            Line::Discharged(3),
            Line::Boundaries("{}".to_owned()),
            Line::Failed("open Retry: it is locked".to_owned()),
            Line::Replayed { deliveries: 12 },
            Line::Closed,
        ];
        for line in lines {
            assert_eq!(line.to_string().parse::<Line>().unwrap(), line);
        }
        for broken in ["", "ack", "ack 7", "ack 7 fre", "readback {", "opened 1", "sen"] {
            assert!(broken.parse::<Line>().is_err(), "{broken}");
        }
    }
}
