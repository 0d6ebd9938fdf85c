//! The outbox for mails: an actor that sends them by a side effect, so that no order waits for a
//! mail server. Knows what a mail says; knows no order but its name.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use relive::{Actor, Context, Handle, Message, Retry};
use serde::{Deserialize, Serialize};

const TRIES: Retry = Retry::new(3, Duration::from_millis(100));
/// When all tries have failed.
const TRY_AGAIN: Duration = Duration::from_secs(60);

/// The mails about one order: `mails/17`. It has no state. What is to be sent stands in its log, as
/// messages that are not handled yet, or as a timer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Mails {}

impl Actor for Mails {
    const KIND: &'static str = "mails";
    const MESSAGES: &'static [&'static str] = &[Mail::NAME];

    fn create(_order: &str) -> Self {
        Self {}
    }
}

/// A mail that is to be sent.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Mail {
    pub(crate) order: String,
    pub(crate) to: String,
    pub(crate) says: Says,
}

/// What a mail tells the customer.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Says {
    Shipped,
    Cancelled,
}

impl Says {
    fn name(self) -> &'static str {
        match self {
            Self::Shipped => "shipped",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Message for Mail {
    const NAME: &'static str = "mail";
    type Reply = ();
}

impl Handle<Mail> for Mails {
    async fn handle(&mut self, mail: Mail, cx: &mut Context<'_>) {
        let mailer = cx.dependency::<Mailer>();
        let sent = cx.side_effect("send", || TRIES.run(|_try| mailer.send(&mail))).await;
        if let Err(NotSent(reason)) = sent {
            tracing::warn!(order = mail.order, reason, "a mail was not sent, it is tried again later");
            let later = cx.timer(mail.says.name()).after(TRY_AGAIN);
            later.to_self::<Self>().send(mail).expect("an order has few mails, and they are small");
        }
    }
}

/// Stands for a mail server: appends each mail to a file.
pub(crate) struct Mailer(Arc<Mutex<File>>);

/// Why a mail was not sent.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotSent(String);

/// A line of the file.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    to: &'a str,
    says: Says,
}

impl Mailer {
    /// Appends to this file.
    pub(crate) fn open(path: &Path) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Mutex::new(File::options().create(true).append(true).open(path)?))))
    }

    async fn send(&self, mail: &Mail) -> Result<(), NotSent> {
        // A crash after the sending and before the log has the outcome sends a mail again. So the
        // id depends on the mail alone, and is the same each time: readers know repetitions by it.
        let id = format!("{}/{}", mail.order, mail.says.name());
        let line = Line { id, to: &mail.to, says: mail.says };
        let mut line = serde_json::to_string(&line).map_err(|error| NotSent(error.to_string()))?;
        line.push('\n');
        let file = Arc::clone(&self.0);
        // Not on the threads of tokio, on which actors run.
        let written = tokio::task::spawn_blocking(move || {
            // One that panicked in between has written its line or not: nothing is half done.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.write_all(line.as_bytes()).and_then(|()| file.sync_data())
        });
        match written.await {
            Ok(written) => written.map_err(|error| NotSent(error.to_string())),
            Err(error) => Err(NotSent(error.to_string())),
        }
    }
}
