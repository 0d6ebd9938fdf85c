//! The child process: opens the ledger, books what comes in on stdin, and says on stdout what is on
//! stable storage. It takes no care of its own end: it is meant to be killed at any moment.

use std::collections::HashMap;
use std::error::Error;
use std::io::{BufRead, BufWriter, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use relive::{
    ActorRef, CheckpointPolicy, Durability, Medium, Producer, ProducerReceipt, Receipted, RecoveryProgress,
    RestartPolicy, Runtime, Ssn,
};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::actors::{Account, Bank, Book, Booked, BookingDay, GetStatement, GetTotal};
use crate::protocol::{Counted, Recovered, Report, Request};

/// Far below the default, so that a run of a few seconds checkpoints its actors and cuts its log
/// many times.
const CHECKPOINT_RECORDS: u64 = 32;
const LOG_BYTES: u64 = 8 << 20;
/// Lines read ahead of the ledger, and receipts waited for: as many as the parent has under way at
/// most.
const QUEUE: usize = 1024;

type Failure = Box<dyn Error + Send + Sync>;

/// Serves until stdin ends, then shuts down in good order.
pub(crate) fn serve(store: &Path, durability: Durability, medium: Option<Medium>) -> Result<(), Failure> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (reports, writer) = write_reports();
    let served = tokio.block_on(run(store, durability, medium, &reports));
    // The writer ends at the end of its queue.
    let _ = reports.send(None);
    let _ = writer.join();
    served
}

type Reports = Sender<Option<Report>>;

async fn run(
    store: &Path,
    durability: Durability,
    medium: Option<Medium>,
    reports: &Reports,
) -> Result<(), Failure> {
    let progress = reports.clone();
    let mut builder = Runtime::builder()
        .actor::<Account>(|account| account.handles::<Book>().handles::<GetStatement>())
        .actor::<Bank>(|bank| bank.handles::<Booked>().handles::<GetTotal>())
        .actor::<BookingDay>(|day| day.handles::<Booked>().handles::<GetTotal>())
        .durability(durability)
        .checkpoints(CheckpointPolicy::default().records(CHECKPOINT_RECORDS))
        .log_bytes(LOG_BYTES)
        // The parent kills on purpose. By default three kills in a row that hit the same delivery
        // count as that delivery's fault, and it would wait in quarantine for somebody to retry it.
        .restarts(RestartPolicy::default().tries(u32::MAX))
        .on_progress(move |step| report_progress(&progress, step));
    if let Some(medium) = medium {
        builder = builder.medium(medium);
    }
    let runtime = builder.open(store).await?;
    let recovery = runtime.recovery();
    let _ = reports.send(Some(Report::Ready(Recovered {
        records: recovery.records,
        actors: recovery.actors,
        replayed: recovery.replayed,
        took: recovery.elapsed,
    })));
    let mut feed = Feed { producer: runtime.producer("feed")?, accounts: HashMap::new() };
    let mut lines = read_lines();
    let (receipts, to_acknowledge) = mpsc::channel(QUEUE);
    let acknowledging = acknowledge(to_acknowledge, &runtime, reports);
    let answering = async {
        let mut questions = JoinSet::new();
        loop {
            tokio::select! {
                line = lines.recv() => match line {
                    Some(line) => feed.take(&line?, &runtime, &receipts, &mut questions, reports).await?,
                    None => break,
                },
                Some(answered) = questions.join_next() => answered??,
            }
        }
        while let Some(answered) = questions.join_next().await {
            answered??;
        }
        drop(receipts);
        Ok::<(), Failure>(())
    };
    // Whichever fails first ends both.
    tokio::try_join!(answering, acknowledging)?;
    runtime.shutdown().await?;
    Ok(())
}

/// The sender outside: the rows, under the numbers that the input gives them.
struct Feed {
    producer: Producer,
    accounts: HashMap<u32, ActorRef<Account>>,
}

impl Feed {
    async fn take(
        &mut self,
        line: &str,
        runtime: &Runtime,
        receipts: &mpsc::Sender<(usize, ProducerReceipt)>,
        questions: &mut JoinSet<Result<(), Failure>>,
        reports: &Reports,
    ) -> Result<(), Failure> {
        let reports = reports.clone();
        match line.parse()? {
            Request::Book { row, account, number, booking } => {
                let receipt = self.book(runtime, account, number, booking).await?;
                // Nobody takes it only when acknowledging has failed, which ends all.
                let _ = receipts.send((row, receipt)).await;
            }
            Request::Account(account) => {
                let actor = runtime.actor::<Account>(&account.to_string())?;
                questions.spawn(async move {
                    let statement = actor.ask(GetStatement).await?;
                    let _ = reports.send(Some(Report::Account { account, statement }));
                    Ok(())
                });
            }
            Request::Bank(bank) => {
                let actor = runtime.actor::<Bank>(&bank)?;
                questions.spawn(async move {
                    let total = actor.ask(GetTotal).await?;
                    let _ = reports.send(Some(Report::Bank { bank, total }));
                    Ok(())
                });
            }
            Request::Day(day) => {
                let actor = runtime.actor::<BookingDay>(&format!("{day:06}"))?;
                questions.spawn(async move {
                    let total = actor.ask(GetTotal).await?;
                    let _ = reports.send(Some(Report::Day { day, total }));
                    Ok(())
                });
            }
        }
        Ok(())
    }

    async fn book(
        &mut self,
        runtime: &Runtime,
        account: u32,
        number: u64,
        booking: Book,
    ) -> Result<ProducerReceipt, Failure> {
        let actor = match self.accounts.get(&account) {
            Some(actor) => actor,
            None => {
                // The first row of this life: the parent says where in the account's rows it is.
                // What the account has received of them already it will drop.
                let actor = runtime.actor::<Account>(&account.to_string())?;
                self.producer.resume(&actor, Ssn::new(number - 1));
                self.accounts.entry(account).or_insert(actor)
            }
        };
        let receipt = self.producer.tell(actor, booking).await?;
        if receipt.ssn() != Ssn::new(number) {
            return Err(
                format!("account {account} was fed row {number} of it as message {}", receipt.ssn()).into()
            );
        }
        Ok(receipt)
    }
}

/// Reports rows as durable in the order in which they came, so that one number says it of all rows
/// up to it.
async fn acknowledge(
    mut receipts: mpsc::Receiver<(usize, ProducerReceipt)>,
    runtime: &Runtime,
    reports: &Reports,
) -> Result<(), Failure> {
    let mut duplicate_rows = 0;
    while let Some((row, receipt)) = receipts.recv().await {
        if receipt.durable().await? == Receipted::Duplicate {
            duplicate_rows += 1;
        }
        let stats = runtime.stats();
        let counted = Counted {
            deliveries: stats.deliveries,
            commits: stats.commits,
            checkpoints: stats.checkpoints,
            duplicates: stats.duplicates,
            duplicate_rows,
        };
        let _ = reports.send(Some(Report::Durable { row, counted }));
    }
    Ok(())
}

fn report_progress(reports: &Reports, step: RecoveryProgress) {
    let report = match step {
        RecoveryProgress::Reading { records: 0, .. } => Report::Reading,
        RecoveryProgress::Replaying { actors, of, .. } => Report::Replaying { actors, of },
        _ => return,
    };
    let _ = reports.send(Some(report));
}

/// Reads stdin on a thread of its own, since a read can't be abandoned; the process ends without
/// waiting for it.
fn read_lines() -> mpsc::Receiver<std::io::Result<String>> {
    let (lines, received) = mpsc::channel(QUEUE);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if lines.blocking_send(line).is_err() {
                return;
            }
        }
    });
    received
}

/// Writes reports on a thread of its own, flushing whenever there are no more: a report is never
/// kept back, and many that come together are one write.
fn write_reports() -> (Reports, JoinHandle<()>) {
    let (reports, received) = channel();
    // When the parent is gone there is nobody to report to, and stdin ends too.
    let writer = std::thread::spawn(move || drop(write_until_end(&received)));
    (reports, writer)
}

fn write_until_end(reports: &Receiver<Option<Report>>) -> std::io::Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    while let Ok(Some(report)) = reports.recv() {
        writeln!(out, "{report}")?;
        for next in reports.try_iter() {
            match next {
                Some(report) => writeln!(out, "{report}")?,
                None => return out.flush(),
            }
        }
        out.flush()?;
    }
    Ok(())
}
