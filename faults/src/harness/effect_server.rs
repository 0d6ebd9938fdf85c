//! The process that takes the effects: a ledger behind a socket. It lives on while workers die, and
//! ends when its standard input ends, that is, with its parent.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::harness::effect_ledger::Ledger;

/// The arguments of the ledger's process.
#[derive(Clone, Debug, Parser)]
#[command(about = "Takes the effects of workers, and keeps each on stable storage before it answers")]
pub struct EffectsArguments {
    /// The socket to listen at.
    #[arg(long)]
    socket: PathBuf,
    /// The file of the ledger.
    #[arg(long)]
    file: PathBuf,
}

/// Prints `listening`, and takes effects until standard input ends.
///
/// # Errors
/// The socket or the file can't be used.
pub fn run(arguments: &EffectsArguments) -> io::Result<()> {
    let mut ledger = Ledger::open(&arguments.file)?;
    let listener = UnixListener::bind(&arguments.socket)?;
    std::thread::spawn(|| {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        // Every answered effect is on stable storage.
        std::process::exit(0);
    });
    let mut out = io::stdout().lock();
    out.write_all(b"listening\n")?;
    out.flush()?;
    for stream in listener.incoming() {
        match serve(&mut ledger, stream?) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(error),
            // The asker was killed meanwhile. It asks again after its recovery.
            Err(_) | Ok(()) => {}
        }
    }
    Ok(())
}

fn serve(ledger: &mut Ledger, stream: UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(ASKER_LIMIT))?;
    let mut line = String::new();
    let mut stream = BufReader::new(stream);
    stream.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
    let Some(request) = line.strip_suffix('\n') else { return Ok(()) };
    let words: Vec<&str> = request.split(' ').collect();
    let parsed = match words[..] {
        [key, payload, what] => payload.parse().ok().map(|payload| (key, payload, what)),
        _ => None,
    };
    let invalid = || io::Error::new(io::ErrorKind::InvalidData, format!("not an effect: {request:?}"));
    let (key, payload, what) = parsed.ok_or_else(invalid)?;
    let answer = ledger.take(key, payload, what)?;
    stream.get_mut().write_all(format!("{answer}\n").as_bytes())
}

/// How long an asker may take to send its effect.
const ASKER_LIMIT: Duration = Duration::from_secs(5);
const LINE_BYTES_MAX: u64 = 1024;
