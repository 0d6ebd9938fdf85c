//! A shop whose orders survive crashes, behind HTTP: `cargo run -p relive-orders -- --help`.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `order` | **an order**: asks the stock, charges, is cancelled by a timer, is shown by a query |
//! | `stock` | an article: on hand, reserved, sold |
//! | `mails` | an outbox: sends mails, and tries again |
//! | `bank` | the client of the payment provider |
//! | `shop` | the actors together, with what they are provided with |
//! | `http` | requests to messages and queries, errors to status codes |
//! | `provider` | the payment provider, another process |

mod bank;
mod http;
mod mails;
mod order;
#[cfg(test)]
mod order_tests;
mod provider;
mod shop;
mod stock;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use clap::{Args, Parser, Subcommand};
use relive::HideReplays;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{FilterExt, LevelFilter};
use tracing_subscriber::layer::SubscriberExt;

use crate::bank::Bank;
use crate::mails::Mailer;
use crate::order::Terms;
use crate::shop::Article;

/// How long a shutdown waits for requests, and then for orders, that are under way. The next start
/// goes on with what is left.
const SHUTDOWN_MAX: Duration = Duration::from_secs(10);

/// A shop whose orders survive crashes.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    process: Process,
}

#[derive(Subcommand)]
enum Process {
    /// The shop.
    Serve(Serve),
    /// The payment provider, which charges once for each idempotency key.
    Provider(Provider),
}

#[derive(Args)]
struct Serve {
    /// Where the actors are kept.
    #[arg(long)]
    data: PathBuf,
    /// The file to which mails are appended.
    #[arg(long)]
    mails: PathBuf,
    /// The address of the payment provider.
    #[arg(long, default_value = "http://127.0.0.1:4001")]
    provider: String,
    /// Something to buy. Only the first start of the shop puts it on the shelf.
    #[arg(long = "article", value_name = "NAME:CENTS:COUNT")]
    articles: Vec<Article>,
    /// How many seconds goods stay reserved for an order that is not paid.
    #[arg(long, value_name = "SECONDS", default_value = "900", value_parser = seconds)]
    pay_within: Duration,
    /// Where to listen; port 0 takes a free one. The first line of the output says where it is.
    #[arg(long, default_value = "127.0.0.1:4000")]
    listen: SocketAddr,
}

#[derive(Args)]
struct Provider {
    /// The file to which charges are appended.
    #[arg(long)]
    ledger: PathBuf,
    /// Loses each so-many-th answer after the charge, as networks do.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    lose_every: u64,
    /// Where to listen; port 0 takes a free one. The first line of the output says where it is.
    #[arg(long, default_value = "127.0.0.1:4001")]
    listen: SocketAddr,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|error| format!("{error}"))?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[tokio::main]
#[expect(clippy::print_stderr, reason = "the last word of a program that fails")]
async fn main() -> ExitCode {
    // A replay runs handlers again. Their log lines were there the first time.
    let filter = HideReplays.and(LevelFilter::INFO);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_filter(filter);
    let subscriber = tracing_subscriber::registry().with(lines);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        eprintln!("error: there is a subscriber already");
    }
    let ended = match Options::parse().process {
        Process::Serve(options) => serve(options).await,
        Process::Provider(options) => provide(&options).await,
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

type Ended = Result<(), Box<dyn std::error::Error>>;

async fn serve(options: Serve) -> Ended {
    let (bank, mailer) = (Bank::new(&options.provider)?, Mailer::open(&options.mails)?);
    let builder = shop::builder(Terms { pay_within: options.pay_within }, bank, mailer);
    let runtime = shop::open(builder, &options.data, options.articles).await?;
    let replayed = runtime.recovery().replayed;
    listen(options.listen, http::routes(runtime.clone()), &format!(", {replayed} deliveries relived"))
        .await?;
    // Nobody asks any more. What was accepted is handled, and written down as checkpoints.
    let report = runtime.shutdown_within(SHUTDOWN_MAX).await?;
    for waiting in report.waiting {
        tracing::warn!(actor = %waiting.actor, message = waiting.message, "goes on at the next start");
    }
    Ok(())
}

async fn provide(options: &Provider) -> Ended {
    listen(options.listen, provider::routes(&options.ledger, options.lose_every)?, "").await
}

/// Serves until Ctrl-C, then ends the requests that are under way.
#[expect(clippy::print_stdout, reason = "who starts it reads where it listens")]
async fn listen(address: SocketAddr, routes: Router, said: &str) -> Ended {
    let (tell, told) = watch::channel(false);
    ctrlc::set_handler(move || {
        tell.send_replace(true);
    })?;
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}{said}", listener.local_addr()?);
    let served = axum::serve(listener, routes).with_graceful_shutdown(interrupted(told.clone()));
    tokio::select! {
        ended = served => Ok(ended?),
        // A caller who never ends a request must not hold the shutdown up.
        () = async { interrupted(told).await; sleep(SHUTDOWN_MAX).await } => Ok(()),
    }
}

async fn interrupted(mut told: watch::Receiver<bool>) {
    if told.wait_for(|told| *told).await.is_err() {
        tracing::warn!("Ctrl-C can't be heard, so it ends now");
    }
}
