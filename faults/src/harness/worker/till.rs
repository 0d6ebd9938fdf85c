//! Sends the numbered messages of the workload, with several on their way at once, and prints what
//! the runtime promises.

use std::collections::VecDeque;
use std::io::Write;

use relive::{ActorRef, Producer, ProducerReceipt, ReceiptError, Receipted, Runtime, Ssn, Unavailable};

use crate::harness::worker::{Sabotage, WorkerArguments};
use crate::workload::Line;
use crate::workload::actors::{Account, Audit, Peek, Post};
use crate::workload::part::reason;
use crate::workload::plan::{ACCOUNTS, AUDITS, PRODUCER, Plan, account_of, share};

/// Sends the numbered messages, with several on their way at once.
pub(crate) struct Till {
    plan: Plan,
    window: usize,
    ack_early: bool,
    /// Whether an account may stop. The till then goes on with the others.
    may_stop: bool,
    producer: Producer,
    accounts: Vec<ActorRef<Account>>,
    /// Which accounts have stopped.
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
            Err(error) => {
                return self.refused(at, error.reason.unavailable(), &error, &format!("send {number}"));
            }
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

    /// Waits for the oldest receipt, so that the worker prints acknowledgements in the order of its
    /// messages.
    async fn receive(&mut self) -> Result<(), String> {
        let Some((number, receipt)) = self.receipts.pop_front() else { return Ok(()) };
        match receipt.durable().await {
            Ok(receipted) if !self.ack_early => {
                say(&Line::Ack { number, duplicate: receipted == Receipted::Duplicate });
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                let unavailable = match &error {
                    ReceiptError::Unavailable(unavailable) => Some(unavailable),
                    _ => None,
                };
                self.refused(index(account_of(number)), unavailable, &error, &format!("receipt {number}"))
            }
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
            Err(error) => self.refused(at, error.unavailable(), &error, &format!("ask {id}")),
        }
    }

    /// Waits until accounts and audits have handled all messages up to this one, and until the log
    /// tells so. Asks each actor twice: the second question stands in the log behind everything
    /// that the actor did before it answered the first.
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
                    Err(error) => match stopped(self.may_stop, error.unavailable()) {
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

    /// Leaves an account that has stopped alone from now on, if it may stop.
    fn refused(
        &mut self,
        account: usize,
        unavailable: Option<&Unavailable>,
        error: &dyn std::error::Error,
        doing: &str,
    ) -> Result<(), String> {
        match stopped(self.may_stop, unavailable) {
            Some(line) => {
                say(&line);
                self.stopped[account] = true;
                Ok(())
            }
            None => Err(format!("{doing}: {error}")),
        }
    }

    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        while !self.receipts.is_empty() {
            self.receive().await?;
        }
        Ok(())
    }
}

/// The line for an actor that has stopped and may stop; `None` for any other refusal.
pub(crate) fn stopped(may_stop: bool, unavailable: Option<&Unavailable>) -> Option<Line> {
    match unavailable {
        Some(Unavailable::Actor(failure)) if may_stop => {
            Some(Line::Stopped { actor: failure.actor.to_string(), why: reason(failure) })
        }
        _ => None,
    }
}

fn index(account: u64) -> usize {
    usize::try_from(account).unwrap_or_default()
}

/// Prints a line with one write. Ends the process when nothing reads its output any more.
pub(crate) fn say(line: &Line) {
    let mut out = std::io::stdout().lock();
    let whole = format!("{line}\n");
    if out.write_all(whole.as_bytes()).and_then(|()| out.flush()).is_err() {
        std::process::exit(1);
    }
}
