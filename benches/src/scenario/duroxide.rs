//! Durable messages to durable entities by duroxide, on a SQLite file. What of it comes closest to
//! a tell is told at each [`Way`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use duroxide::providers::sqlite::SqliteProvider;
use duroxide::runtime::registry::ActivityRegistry;
use duroxide::runtime::{ObservabilityConfig, Runtime, RuntimeOptions};
use duroxide::{Client, OrchestrationContext, OrchestrationRegistry, OrchestrationStatus};
use tokio::task::JoinSet;

use super::{Data, on_tokio};
use crate::figures::Figures;
use crate::load::{MESSAGE_BYTES, join};

/// Messages of 128 bytes to instances of an orchestration, until each has handled everything.
///
/// The options are the crate's own, but for its log, of which only errors are kept. They include
/// its SQLite settings: a write-ahead log that is not synced at each commit, so that what is
/// acknowledged survives the death of the process and not the loss of power.
#[derive(Args)]
pub(crate) struct Duroxide {
    #[arg(long, value_enum, default_value_t = Way::Queue)]
    way: Way,
    /// Messages that are counted.
    #[arg(long, default_value_t = 8000)]
    messages: usize,
    /// Messages that one instance receives before it is done, when it receives them from its queue.
    #[arg(long, default_value_t = 80)]
    each: usize,
    /// Tasks that send.
    #[arg(long, default_value_t = 8)]
    senders: usize,
    /// Orchestration turns at the same time; the crate's default is 2.
    #[arg(long, default_value_t = 2)]
    concurrency: usize,
}

/// How a message reaches a durable entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Way {
    /// An instance stands for an actor and takes its messages from its event queue, one after the
    /// other: `enqueue_event` by the sender is one transaction, `dequeue_event` is recorded in the
    /// history of the instance, and a turn of the instance takes all that has come, in two more
    /// transactions. An instance gets less than 100 messages in all: a turn that takes more fails,
    /// and `continue_as_new`, which would shorten the history that each turn replays, drops what
    /// waits beyond 100. More messages an instance are faster, below that.
    Queue,
    /// Each message starts an instance of its own, of which it is the input, and which is done at
    /// once: there is no state that one message leaves to the next.
    Instance,
}

/// How long all messages may take.
const LIMIT: Duration = Duration::from_secs(120);

const ENTITY: &str = "entity";
const QUEUE: &str = "messages";

impl Duroxide {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(self.measure(data))
    }

    async fn measure(&self, data: &Data) -> Result<Figures> {
        ensure!(self.each > 0 && self.senders > 0, "somebody has to send, and to receive");
        let directory = data.temporary()?;
        let file = directory.path().join("store.db");
        std::fs::File::create(&file)?;
        let store = SqliteProvider::new(&format!("sqlite:{}", file.display()), None).await?;
        let store = Arc::new(store);
        let observability = ObservabilityConfig { log_level: "error".to_owned(), ..Default::default() };
        let options = RuntimeOptions {
            orchestration_concurrency: self.concurrency,
            observability,
            ..RuntimeOptions::default()
        };
        let activities = ActivityRegistry::builder().build();
        let runtime = Runtime::start_with_options(store.clone(), activities, self.entities(), options).await;
        let client = Arc::new(Client::new(store));
        let messages =
            Messages { way: self.way, count: self.messages, each: self.each, senders: self.senders };
        // A tenth is sent before.
        Messages { count: (self.messages / 10).max(1), ..messages }.sent(&client, "warm-up").await?;
        let took = messages.sent(&client, "measured").await?;
        runtime.shutdown(None).await;
        let seconds = took.as_secs_f64();
        Ok(Figures::default()
            .with("messages", self.messages as f64)
            .with("seconds", seconds)
            .with("messages_per_second", self.messages as f64 / seconds))
    }

    /// What handles: counts messages and adds up a byte of each, as the actors do.
    fn entities(&self) -> OrchestrationRegistry {
        let way = self.way;
        let entity = move |context: OrchestrationContext, input: String| async move {
            let expected = match way {
                Way::Queue => input.parse::<usize>().map_err(|error| error.to_string())?,
                Way::Instance => 1,
            };
            let (mut messages, mut sum) = (0, 0_u64);
            while messages < expected {
                let message = match way {
                    Way::Queue => context.dequeue_event(QUEUE).await,
                    Way::Instance => input.clone(),
                };
                messages += 1;
                sum += u64::from(message.bytes().next().unwrap_or_default());
            }
            Ok(format!("{messages} {sum}"))
        };
        OrchestrationRegistry::builder().register(ENTITY, entity).build()
    }
}

#[derive(Clone, Copy)]
struct Messages {
    way: Way,
    count: usize,
    each: usize,
    senders: usize,
}

impl Messages {
    /// Sends them, and waits until all are handled.
    async fn sent(self, client: &Arc<Client>, run: &'static str) -> Result<Duration> {
        let instances = match self.way {
            Way::Queue => self.count.div_ceil(self.each),
            Way::Instance => self.count,
        };
        if self.way == Way::Queue {
            self.begin(client, run, instances).await?;
        }
        let began = Instant::now();
        let mut senders = JoinSet::new();
        for sender in 0..self.senders {
            let client = Arc::clone(client);
            senders.spawn(async move {
                for number in (sender..self.count).step_by(self.senders) {
                    let (instance, message) = (name(run, number % instances), "m".repeat(MESSAGE_BYTES));
                    match self.way {
                        Way::Queue => client.enqueue_event(instance, QUEUE, message).await?,
                        Way::Instance => client.start_orchestration(instance, ENTITY, message).await?,
                    }
                }
                Ok(())
            });
        }
        join(senders).await?;
        for instance in 0..instances {
            let status = client.wait_for_orchestration(&name(run, instance), LIMIT).await?;
            let OrchestrationStatus::Completed { output, .. } = status else {
                bail!("an instance is {status:?}");
            };
            let messages = output.split(' ').next().context("an instance says how many messages it had")?;
            let expected = if self.way == Way::Queue { self.share(instance, instances) } else { 1 };
            ensure!(messages == expected.to_string(), "an instance had {messages} messages, not {expected}");
        }
        Ok(began.elapsed())
    }

    /// How many messages an instance gets.
    fn share(self, instance: usize, instances: usize) -> usize {
        self.count / instances + usize::from(instance < self.count % instances)
    }

    /// Starts instances, and waits until they are there: what is enqueued for one that is not is
    /// dropped.
    async fn begin(self, client: &Client, run: &str, instances: usize) -> Result<()> {
        for instance in 0..instances {
            let share = self.share(instance, instances).to_string();
            client.start_orchestration(name(run, instance), ENTITY, share).await?;
        }
        let began = Instant::now();
        for instance in 0..instances {
            while client.get_orchestration_status(&name(run, instance)).await?
                == OrchestrationStatus::NotFound
            {
                ensure!(began.elapsed() < LIMIT, "instances do not begin");
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        Ok(())
    }
}

fn name(run: &str, instance: usize) -> String {
    format!("{run}-{instance}")
}
