//! Sends the numbered messages of the workload, with some of them on their way at once, and tells what it is promised.

use std::collections::VecDeque;
use std::io::Write;

use relive::{ActorRef, Producer, ProducerReceipt, Receipted, Refused, Runtime, Ssn};

use crate::worker::{Sabotage, WorkerArguments};
use crate::workload::Line;
use crate::workload::actors::{Account, Audit, Peek, Post};
use crate::workload::part::reason;
use crate::workload::plan::{ACCOUNTS, AUDITS, PRODUCER, Plan, account_of, share};

/// Sends the numbered messages, with some of them on their way at once.
pub(crate) struct Till {
    plan: Plan,
    window: usize,
    ack_early: bool,
    /// Whether an account may stop; the others are sent to nevertheless.
    may_stop: bool,
    producer: Producer,
    accounts: Vec<ActorRef<Account>>,
    /// By account.
    stopped: Vec<bool>,
    receipts: VecDeque<(u64, ProducerReceipt)>,
}

impl Till {
    pub(crate) fn new(
        arguments: &WorkerArguments,
        runtime: &Runtime,
        may_stop: bool,
    ) -> Result<Self, String> {
        let mut producer = runtime.producer(PRODUCER).map_err(|error| error.to_string())?;
        let mut accounts = Vec::new();
        for key in 0..ACCOUNTS {
            let account = runtime.actor::<Account>(&key.to_string()).map_err(|error| error.to_string())?;
            producer.resume(&account, Ssn::new(share(key, arguments.from.saturating_sub(1))));
            accounts.push(account);
        }
        Ok(Self {
            plan: Plan::new(arguments.seed),
            window: arguments.window.max(1),
            ack_early: arguments.sabotage == Some(Sabotage::AckEarly),
            may_stop,
            producer,
            stopped: vec![false; accounts.len()],
            accounts,
            receipts: VecDeque::new(),
        })
    }

    pub(crate) async fn send(&mut self, number: u64) -> Result<(), String> {
        let at = index(account_of(number));
        if self.stopped[at] {
            return Ok(());
        }
        let post = Post { number, steps: self.plan.steps(number), filler: self.plan.filler(number) };
        say(&Line::Send(number));
        let receipt = match self.producer.tell(&self.accounts[at], post).await {
            Ok(receipt) => receipt,
            Err(error) => return self.refused(at, &error.reason, &format!("send {number}")),
        };
        if self.ack_early {
            say(&Line::Ack { number, duplicate: false });
        }
        self.receipts.push_back((number, receipt));
        while self.receipts.len() >= self.window {
            self.receive().await?;
        }
        Ok(())
    }

    /// Waits for the oldest receipt, so that acknowledgements are told in the order sent.
    async fn receive(&mut self) -> Result<(), String> {
        let Some((number, receipt)) = self.receipts.pop_front() else { return Ok(()) };
        match receipt.durable().await {
            Ok(receipted) if !self.ack_early => {
                say(&Line::Ack { number, duplicate: receipted == Receipted::Duplicate });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => self.refused(index(account_of(number)), &error, &format!("receipt {number}")),
        }
    }

    pub(crate) async fn ask(&mut self, account: u64) -> Result<(), String> {
        let at = index(account);
        if self.stopped[at] {
            return Ok(());
        }
        let id = self.accounts[at].id().to_string();
        match self.accounts[at].ask(Peek {}).await {
            Ok((rsn, chain)) => {
                say(&Line::Answer { actor: id, rsn, chain });
                Ok(())
            }
            Err(error) => match error.reason() {
                Some(reason) => self.refused(at, reason, &format!("ask {id}")),
                None => Err(format!("ask {id}: {error}")),
            },
        }
    }

    /// Has all messages up to this one handled by accounts and audits, and that told to the log: each actor is asked twice, and
    /// the second question stands in the log behind what was done before the first was answered.
    pub(crate) async fn cover(&mut self, runtime: &Runtime, number: u64) -> Result<(), String> {
        self.finish().await?;
        for _ in 0..2 {
            for account in 0..ACCOUNTS {
                self.ask(account).await?;
            }
            for audit in 0..AUDITS {
                let audit = runtime.actor::<Audit>(&audit.to_string()).map_err(|error| error.to_string())?;
                match audit.ask(Peek {}).await {
                    Ok(_) => {}
                    Err(error) => match error.reason().and_then(|reason| stopped(self.may_stop, reason)) {
                        Some(_) => return Ok(()),
                        None => return Err(format!("ask {}: {error}", audit.id())),
                    },
                }
            }
        }
        if !self.stopped.contains(&true) {
            say(&Line::Covered(number));
        }
        Ok(())
    }

    /// An account that has stopped is left alone from now on, where that may be.
    fn refused(&mut self, account: usize, reason: &Refused, doing: &str) -> Result<(), String> {
        match stopped(self.may_stop, reason) {
            Some(line) => {
                say(&line);
                self.stopped[account] = true;
                Ok(())
            }
            None => Err(format!("{doing}: {reason}")),
        }
    }

    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        while !self.receipts.is_empty() {
            self.receive().await?;
        }
        Ok(())
    }
}

/// What there is to say when an actor has stopped that may; `None` for any other refusal.
pub(crate) fn stopped(may_stop: bool, refused: &Refused) -> Option<Line> {
    match refused {
        Refused::Actor(failure) if may_stop => {
            Some(Line::Stopped { actor: failure.actor.to_string(), why: reason(failure) })
        }
        _ => None,
    }
}

fn index(account: u64) -> usize {
    usize::try_from(account).unwrap_or_default()
}

/// Prints a line with one write. A process that nobody listens to any more has nothing left to do.
pub(crate) fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    let whole = format!("{line}\n");
    if out.write_all(whole.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
