//! Sends requests to clerks under idempotency keys, several at a time, and looks at clerks and
//! vaults through queries. Requests of earlier lives are sent again.

use relive::{ActorRef, Answer, AskError, Handle, QueryError, Refused, Runtime};
use tokio::task::JoinSet;

use crate::harness::worker::WorkerArguments;
use crate::harness::worker::till::{say, stopped};
use crate::workload::clerk::{Clerk, Count, Do, VAULT, Vault};
use crate::workload::order::{REUSED, clerk_of};
use crate::workload::{Line, Plan};

/// What came of a request.
type Asked = (u64, Result<u64, AskError<Do>>);

/// Sends requests.
pub(crate) struct Requests {
    plan: Plan,
    next: u64,
    /// Whether actors may stop.
    may_stop: bool,
    asking: JoinSet<Asked>,
}

impl Requests {
    pub(crate) fn new(arguments: &WorkerArguments, may_stop: bool) -> Self {
        let plan = Plan::new(arguments.seed);
        Self { plan, next: arguments.requests_from, may_stop, asking: JoinSet::new() }
    }

    /// Sends the next request.
    pub(crate) async fn next(&mut self, runtime: &Runtime) -> Result<(), String> {
        let number = self.next;
        self.next += 1;
        say(&Line::Request(number));
        let asked = ask(runtime.clone(), number, Do { number, order: self.plan.order(number) });
        self.asking.spawn(asked);
        while self.asking.len() >= WINDOW {
            self.receive().await?;
        }
        if number.is_multiple_of(QUERY_EVERY) {
            self.query(runtime, number / QUERY_EVERY).await?;
        }
        if number.is_multiple_of(REUSE_EVERY) {
            self.reuse(runtime, number).await?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<(), String> {
        let Some(asked) = self.asking.join_next().await else { return Ok(()) };
        match asked.map_err(|error| format!("a request has panicked: {error}"))? {
            (number, Ok(reply)) => say(&Line::Answered { number, reply }),
            (number, Err(error)) => match stopped(self.may_stop, error.unavailable()) {
                Some(line) => say(&line),
                None => return Err(format!("request {number}: {error}")),
            },
        }
        Ok(())
    }

    /// Sends another request under a key that is taken: it must be refused.
    async fn reuse(&mut self, runtime: &Runtime, number: u64) -> Result<(), String> {
        // The first request with the key must be there.
        self.finish().await?;
        let other = Do { number: number + REUSED, order: self.plan.order(number) };
        match ask(runtime.clone(), number, other).await.1 {
            Err(AskError::NotAccepted { reason: Refused::KeyOfAnotherRequest { .. }, .. }) => {
                say(&Line::Refused(number + REUSED));
                Ok(())
            }
            Ok(_) => Err(format!("a request under the key of {number} was handled")),
            Err(error) => match stopped(self.may_stop, error.unavailable()) {
                Some(line) => {
                    say(&line);
                    Ok(())
                }
                None => Err(format!("a request under the key of {number}: {error}")),
            },
        }
    }

    /// Looks at a clerk or a vault, each in turn.
    async fn query(&self, runtime: &Runtime, turn: u64) -> Result<(), String> {
        match turn % 4 {
            0 => self.count::<Clerk<false>>(runtime, &(turn / 4 % 2).to_string()).await,
            1 => self.count::<Clerk<true>>(runtime, &(turn / 4 % 2).to_string()).await,
            2 => self.count::<Vault<false>>(runtime, VAULT).await,
            _ => self.count::<Vault<true>>(runtime, VAULT).await,
        }
    }

    async fn count<A: Answer<Count>>(&self, runtime: &Runtime, key: &str) -> Result<(), String> {
        let actor: ActorRef<A> = runtime.actor(key).map_err(|error| error.to_string())?;
        let name = actor.id().to_string();
        match actor.query(Count {}).await {
            Ok(count) => say(&Line::Shown { actor: name, count }),
            Err(QueryError::Unavailable(unavailable)) => match stopped(self.may_stop, Some(&unavailable)) {
                Some(line) => say(&line),
                None => return Err(format!("a query of {name}: {unavailable}")),
            },
            Err(error) => return Err(format!("a query of {name}: {error}")),
        }
        Ok(())
    }

    /// Waits for all replies.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        while !self.asking.is_empty() {
            self.receive().await?;
        }
        Ok(())
    }
}

/// Asks under the key of a request.
async fn ask(runtime: Runtime, number: u64, request: Do) -> Asked {
    let (key, eager) = clerk_of(number);
    let idempotency_key = format!("request {number}");
    let asked = if eager {
        ask_of::<Clerk<true>>(&runtime, &key, &idempotency_key, request).await
    } else {
        ask_of::<Clerk<false>>(&runtime, &key, &idempotency_key, request).await
    };
    (number, asked)
}

async fn ask_of<A: Handle<Do>>(
    runtime: &Runtime,
    key: &str,
    idempotency_key: &str,
    request: Do,
) -> Result<u64, AskError<Do>> {
    let actor: ActorRef<A> = runtime.actor(key).expect("the kind is registered and the key valid");
    actor.ask(request).idempotency_key(idempotency_key).await
}

/// How many requests are on their way at once.
const WINDOW: usize = 6;
/// After how many requests the worker looks at a clerk or a vault.
const QUERY_EVERY: u64 = 3;
/// After how many requests the worker uses a key again.
const REUSE_EVERY: u64 = 25;
