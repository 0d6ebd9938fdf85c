//! Very many timers that are due within the same second: how soon all have fired, and how long
//! others wait for an answer meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use relive::{Clock, SystemClock, Timestamp};

use super::asks::ask_for;
use super::{Data, on_tokio};
use crate::figures::Figures;
use crate::load::{Relive, Tier, ask_all, fired, set_timers};

/// Sets a timer for each of many actors, and lets all be due within a second.
#[derive(Args)]
pub(crate) struct Timers {
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    #[arg(long, default_value_t = 100_000)]
    timers: usize,
    /// How many actors set theirs at the same time.
    #[arg(long, default_value_t = 8192)]
    at_once: usize,
    /// Clients that ask other actors.
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// How long others are asked, before the timers are due and then again.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// The actors are not in memory when their timers are due.
    #[arg(long)]
    passive: bool,
}

/// The machine's clock, set ahead.
#[derive(Clone, Default)]
struct SetAhead(Arc<AtomicU64>);

impl Clock for SetAhead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(Duration::from_micros(self.0.load(Ordering::Relaxed)))
    }

    fn wait_until(&self, until: Timestamp) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        // It may return early, so it need not know that somebody sets the clock.
        let left = until.since(self.now()).min(Duration::from_millis(10));
        Box::pin(tokio::time::sleep(left))
    }
}

const DAY: Duration = Duration::from_secs(86_400);

/// How long the timers may take.
const LIMIT: Duration = Duration::from_secs(120);

impl Timers {
    pub(crate) fn run(&self, data: &Data) -> Result<Figures> {
        on_tokio(self.measure(data))
    }

    async fn measure(&self, data: &Data) -> Result<Figures> {
        let directory = data.temporary()?;
        let clock = SetAhead::default();
        let idle = if self.passive { Duration::from_secs(1) } else { Duration::from_secs(3600) };
        let builder = Relive::builder(self.tier).clock(clock.clone()).passivate_after(idle);
        let runtime = builder.open(directory.path().join("store")).await?;
        let due = clock.now().plus(DAY);
        for begin in (0..self.timers).step_by(self.at_once) {
            let actors = Relive::range(&runtime, begin..(begin + self.at_once).min(self.timers))?;
            // Evenly over the second.
            let within = |number| (begin + number) as u64 * 1_000_000 / self.timers as u64;
            set_timers(&actors, |number| due.plus(Duration::from_micros(within(number)))).await?;
        }
        while self.passive && runtime.actors_in_memory() > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let others = Arc::new(Relive::range(&runtime, self.timers..self.timers + 1024)?);
        ask_all(&others).await?;
        let time = Duration::from_secs_f64(self.seconds);
        let without = ask_for(&others, self.clients, time).await?;
        let asking = tokio::spawn({
            let (others, clients) = (Arc::clone(&others), self.clients);
            async move { ask_for(&others, clients, time).await }
        });
        // When the answers begin to count.
        tokio::time::sleep(time / 5).await;
        ensure!(fired() == 0, "{} timers have fired early", fired());
        let ahead = due.since(clock.now());
        clock.0.fetch_add(u64::try_from(ahead.as_micros())?, Ordering::Relaxed);
        let began = Instant::now();
        while fired() < self.timers {
            ensure!(began.elapsed() < LIMIT, "{} of {} timers have fired", fired(), self.timers);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let all_fired = began.elapsed();
        let with = asking.await.context("the clients ended early")??;
        ensure!(fired() == self.timers, "{} timers have fired", fired());
        let figures = without.figures_of("without_").and(with.figures_of("with_"));
        let times = figures.get("with_p99_us")? / figures.get("without_p99_us")?;
        runtime.shutdown().await?;
        Ok(figures
            .with("timers", self.timers as f64)
            .with("fired_seconds", all_fired.as_secs_f64())
            .with("p99_times", times))
    }
}
