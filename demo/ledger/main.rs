//! A bank's ledger that is killed again and again and is right at the end:
//! `cargo run --release --example ledger -- --help`.
//!
//! The parent process feeds transactions to the ledger, a child process with an actor for each
//! account, partner bank and day, and kills it with `SIGKILL` at random moments, some of them in
//! the middle of recovery. After each kill it starts the ledger again and feeds again what was not
//! acknowledged. At the end it compares what the actors know with what the input says.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `actors` | **the ledger**: accounts, banks, days |
//! | `serve` | the child process: opens the runtime, books, acknowledges |
//! | `protocol` | what parent and child say to each other |
//! | `life` | one child process, from start to death |
//! | `plan`, `drill` | when to kill; feeding, killing, starting again |
//! | `input`, `money`, `sample` | the transactions file; amounts; a file to start with |
//! | `check` | what must come out, from the input alone |
//! | `directory` | what a data directory holds besides the store |
//! | `screen`, `tier`, `medium` | output; the durability tiers and the media on the command line |

mod actors;
mod check;
mod directory;
mod drill;
mod input;
mod life;
mod medium;
mod money;
mod plan;
mod protocol;
mod random;
mod sample;
mod screen;
mod serve;
mod tier;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Parser, Subcommand};
use relive::Durability;

use crate::check::Verdict;
use crate::directory::Directory;
use crate::drill::Tally;
use crate::input::Input;
use crate::life::Start;
use crate::medium::Medium;
use crate::random::Random;
use crate::screen::{Screen, count};
use crate::tier::Tier;

/// Feeds bank transactions to a ledger of actors, kills it at random moments, and checks that
/// nothing is lost and nothing is booked twice.
///
/// Exit code 0: all is well. 1: something is wrong. 2: the usage or the input is.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Options {
    #[command(subcommand)]
    process: Option<Process>,
    #[command(flatten)]
    run: Run,
}

#[derive(Args)]
struct Run {
    /// Transactions: a CSV file with semicolons and at least the columns trans_id, account_id, date
    /// (YYMMDD), type (PRIJEM, VYDAJ, VYBER), amount, balance and bank. Without it a sample is
    /// generated.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where the store is kept, together with the sample, if it is one. A ledger that is there
    /// already goes on: all rows are fed again, and it drops those that it has. One of another
    /// input is refused. Without it a temporary directory is used, which is kept only when
    /// something is wrong.
    #[arg(long)]
    data: Option<PathBuf>,
    /// How often to kill the ledger. One in five kills falls into the recovery after another.
    #[arg(long, default_value_t = 20)]
    kills: usize,
    /// What the sample and the moments of the kills are drawn from. Without it a new one each time,
    /// which is printed.
    #[arg(long)]
    seed: Option<u64>,
    /// What the store survives.
    #[arg(long, value_enum, default_value_t = Tier::PowerLoss)]
    tier: Tier,
    /// What keeps the store. Without it the medium of the ledger that is there already, and the
    /// default of the library for a new one.
    #[arg(long, value_enum)]
    medium: Option<Medium>,
}

#[derive(Subcommand)]
enum Process {
    /// The ledger itself, started by the parent process.
    #[command(hide = true)]
    Serve {
        #[arg(long)]
        store: PathBuf,
        #[arg(long, value_enum)]
        tier: Tier,
        #[arg(long, value_enum)]
        medium: Option<Medium>,
    },
}

#[expect(clippy::print_stderr, reason = "the last word of a program that fails")]
fn main() -> ExitCode {
    let options = Options::parse();
    let outcome = match options.process {
        Some(Process::Serve { store, tier, medium }) => {
            serve::serve(&store, tier.into(), medium.map(Into::into))
                .map(|()| ExitCode::SUCCESS)
                .map_err(|error| (ExitCode::FAILURE, error.to_string()))
        }
        None => run(&options.run),
    };
    outcome.unwrap_or_else(|(code, message)| {
        eprintln!("error: {message}");
        code
    })
}

type Failure = (ExitCode, String);

/// Not the fault of what is shown here: exit code 2.
fn refused(error: impl std::fmt::Display) -> Failure {
    (ExitCode::from(2), error.to_string())
}

/// What this is here to find: exit code 1.
fn failed(error: impl std::fmt::Display) -> Failure {
    (ExitCode::FAILURE, error.to_string())
}

fn run(options: &Run) -> Result<ExitCode, Failure> {
    let seed = options.seed.unwrap_or_else(new_seed);
    let directory = Directory::prepare(options.data.as_deref()).map_err(refused)?;
    let path = match &options.input {
        Some(path) => path.clone(),
        None => directory.sample(seed).map_err(refused)?,
    };
    let input = Input::read(&path).map_err(refused)?;
    let rows = &input.rows;
    if options.kills > rows.len() {
        return Err(refused(format!("there are only {} rows to kill at", rows.len())));
    }
    directory.claim(&input).map_err(refused)?;
    let start = Start {
        program: std::env::current_exe().map_err(failed)?,
        store: directory.store(),
        tier: options.tier,
        medium: options.medium,
    };
    let plan = plan::plan(options.kills, rows.len(), &mut Random::new(seed));
    let screen = Screen::new(rows.len());
    let (name, tier) = (path.display(), Durability::from(options.tier));
    screen.line(&format!("{} rows of {name}; seed {seed}; {tier}", count(rows.len())));

    let (tally, told) = drill::run(&start, rows, &plan, &screen).map_err(|trouble| {
        screen.clear_bar();
        failed(format!("{trouble}\n{}", directory.keep()))
    })?;
    screen.clear_bar();
    let verdict = check::check(rows, &told);
    report(&screen, rows.len(), &tally, &verdict);
    // The bank's rounding can't be mended here, but the sample has none.
    let as_recorded = options.input.is_some() || verdict.as_recorded == verdict.ends_of_day.checked;
    if verdict.is_right() && as_recorded {
        screen.line("All is well: whatever was killed when, each row was booked exactly once.");
        return Ok(ExitCode::SUCCESS);
    }
    for finding in &verdict.findings {
        screen.line(finding);
    }
    screen.line("Something is wrong: the ledger does not hold what the input says.");
    screen.line(&directory.keep());
    Ok(ExitCode::FAILURE)
}

fn report(screen: &Screen, rows: usize, tally: &Tally, verdict: &Verdict) {
    let line = |name: &str, value: String| screen.line(&format!("{name:<22}{value}"));
    let counted = &tally.counted;
    let seconds = tally.feeding.as_secs_f64();
    screen.line("");
    line("rows fed", format!("{}, and {} again after kills", count(rows), count(tally.rows_fed_again)));
    let (at_rows, in_recovery) = (tally.kills_at_rows, tally.kills_in_recovery);
    line("kills", format!("{}: {at_rows} at random rows, {in_recovery} in recovery", at_rows + in_recovery));
    let between_actors = counted.duplicates - counted.duplicate_rows;
    line(
        "duplicates dropped",
        format!(
            "{}: {} rows, {} messages between actors",
            count(counted.duplicates),
            count(counted.duplicate_rows),
            count(between_actors)
        ),
    );
    line("deliveries logged", format!("{} in {} commits", count(counted.deliveries), count(counted.commits)));
    line("checkpoints", count(counted.checkpoints));
    line("balances checked", count(verdict.balances.checked));
    line("wrong balances", count(verdict.balances.wrong));
    let totals = [
        ("account-days", &verdict.ends_of_day),
        ("totals of banks", &verdict.banks),
        ("totals of days", &verdict.days),
    ];
    for (name, compared) in totals {
        let (checked, wrong) = (count(compared.checked), count(compared.wrong));
        line(name, format!("{checked} checked, {wrong} wrong"));
    }
    line(
        "as the bank recorded",
        format!(
            "{} of {} account-days, within one crown",
            count(verdict.as_recorded),
            count(verdict.ends_of_day.checked)
        ),
    );
    line("time", format!("{seconds:.2} s, of which {:.2} s starting again", tally.restarting.as_secs_f64()));
    line("rows a second", format!("{:.0}", rows as f64 / seconds));
    screen.line("");
}

fn new_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // Few digits, so that it is easily given again.
    since.map_or(0, |since| u64::from(since.subsec_nanos()) % 1_000_000)
}
