//! The actors of the workload. They do what a message says, and record everything that their
//! handlers met.

use std::collections::BTreeMap;

use relive::{Actor, Builder, Context, Discipline, Handle, KindBuilder, Message, Runtime};
use serde::{Deserialize, Serialize};

use super::clerk::with_clerks;
use super::journal::{Entry, Journal, What};
use super::outside::perform;
use super::plan::{AUDITS, Steps, audit_of, content, fold};
use super::trial::{Trial, register_trial};
use super::version::{self, Bomb, Difference, Of};

/// What an actor has received of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many messages.
    pub count: u64,
    /// The number of the last one.
    pub last: u64,
    /// The digest of all numbers.
    pub digest: u64,
}

impl Tally {
    /// Adds a message.
    pub fn add(&mut self, number: u64, content: u64) {
        self.count += 1;
        self.last = number;
        self.digest = fold(fold(self.digest, number), content);
    }
}

/// Takes the messages of the till.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The number of the account.
    pub account: u64,
    /// What the till sent.
    pub posted: Tally,
    /// What came back from the summary.
    pub confirmed: Tally,
    /// Its life.
    pub journal: Journal,
    #[serde(skip)]
    bomb: Bomb,
}

/// Takes what accounts, or audits, tell of accounts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// By account.
    pub tallies: BTreeMap<u64, Tally>,
    /// Its life.
    pub journal: Journal,
    #[serde(skip)]
    bomb: Bomb,
}

/// Takes what audits pass on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// By account.
    pub tallies: BTreeMap<u64, Tally>,
    /// Its life.
    pub journal: Journal,
    #[serde(skip)]
    bomb: Bomb,
}

impl Actor for Account {
    const KIND: &'static str = "account";

    fn create(key: &str) -> Self {
        let account = key.parse().unwrap_or(u64::MAX);
        let (posted, confirmed) = (Tally::default(), Tally::default());
        Self { account, posted, confirmed, journal: Journal::default(), bomb: Bomb::default() }
    }
}

impl Actor for Audit {
    const KIND: &'static str = "audit";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

impl Actor for Summary {
    const KIND: &'static str = "summary";

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

/// A numbered message of the till.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Post {
    /// Its number.
    pub number: u64,
    /// What to do.
    pub steps: Steps,
    /// Bytes that take room in the log.
    pub filler: String,
}

/// An account tells an audit, or an audit the summary.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Noted {
    /// The account.
    pub account: u64,
    /// The number of the message.
    pub number: u64,
    /// What it carried.
    pub content: u64,
    /// What the receiver must still do.
    pub steps: Steps,
}

/// The summary confirms to an account that its message has arrived.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Confirm {
    /// The number of the message.
    pub number: u64,
    /// What it carried.
    pub content: u64,
}

/// Asks how far an actor has come. The answer is output, so no recovery may contradict it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Peek {}

/// Asks for everything that an account knows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ShowAccount {}

/// Asks for everything that an audit knows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ShowAudit {}

/// Asks for everything that the summary knows.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ShowSummary {}

macro_rules! message {
    ($type:ty, $name:literal, $reply:ty) => {
        impl Message for $type {
            const NAME: &'static str = $name;
            type Reply = $reply;
        }
    };
}

message!(Post, "post", ());
message!(Noted, "noted", ());
message!(Confirm, "confirm", ());
message!(Peek, "peek", (u64, u64));
message!(ShowAccount, "show-account", Account);
message!(ShowAudit, "show-audit", Audit);
message!(ShowSummary, "show-summary", Summary);

impl Handle<Post> for Account {
    async fn handle(&mut self, message: Post, cx: &mut Context<'_>) {
        let Post { number, mut steps, filler } = message;
        version::begin(Of::Account, number);
        self.bomb.arm();
        let rsn = cx.rsn().get();
        let content = content(number, steps, &filler);
        let difference = version::difference(number);
        let mut audit = audit_of(self.account);
        match difference {
            Some(Difference::OtherAudit) => audit = (audit + 1) % AUDITS,
            Some(Difference::Silent) => steps.tell = false,
            Some(Difference::MoreEffects) => steps.effects += 1,
            Some(Difference::NoEffects) => steps.effects = 0,
            Some(Difference::State) | None => {}
        }
        let mut entry = Entry::new(What::Posted, self.account, number, content);
        entry.random = steps.random.then(|| cx.random());
        entry.now = steps.now.then(|| cx.now().as_micros());
        for index in 0..steps.effects {
            let (key, payload) = (cx.idempotency_key(), entry.payload(self.journal.chain, rsn));
            let what = format!("account/{}#{number}.{index}", self.account);
            let answer = cx.side_effect("outside", || perform(key, payload, what)).await;
            entry.answers.push(answer);
        }
        self.posted.add(number - u64::from(difference == Some(Difference::State)), content);
        self.journal.add(rsn, entry);
        if steps.tell {
            let noted = Noted { account: self.account, number, content, steps };
            cx.to::<Audit>(&audit.to_string()).send(noted).expect("it is small");
        }
    }
}

impl Handle<Confirm> for Account {
    async fn handle(&mut self, message: Confirm, cx: &mut Context<'_>) {
        let Confirm { number, content } = message;
        self.bomb.arm();
        self.confirmed.add(number, content);
        self.journal.add(cx.rsn().get(), Entry::new(What::Confirmed, self.account, number, content));
    }
}

impl Handle<Noted> for Audit {
    async fn handle(&mut self, message: Noted, cx: &mut Context<'_>) {
        let Noted { account, number, content, steps } = message;
        version::begin(Of::Audit, number);
        self.bomb.arm();
        self.tallies.entry(account).or_default().add(number, content);
        let mut entry = Entry::new(What::Noted, account, number, content);
        entry.random = steps.random.then(|| cx.random());
        self.journal.add(cx.rsn().get(), entry);
        if steps.pass {
            cx.to::<Summary>("all").send(message).expect("it is small");
        }
    }
}

impl Handle<Noted> for Summary {
    async fn handle(&mut self, message: Noted, cx: &mut Context<'_>) {
        let Noted { account, number, content, steps } = message;
        version::begin(Of::Summary, number);
        self.bomb.arm();
        self.tallies.entry(account).or_default().add(number, content);
        self.journal.add(cx.rsn().get(), Entry::new(What::Passed, account, number, content));
        if steps.confirm {
            cx.to::<Account>(&account.to_string()).send(Confirm { number, content }).expect("it is small");
        }
    }
}

macro_rules! answers {
    ($($actor:ty, $show:ty;)*) => {$(
        impl Handle<Peek> for $actor {
            async fn handle(&mut self, _message: Peek, cx: &mut Context<'_>) -> (u64, u64) {
                self.journal.add(cx.rsn().get(), Entry::new(What::Asked, 0, 0, 0));
                (self.journal.rsn, self.journal.chain)
            }
        }

        impl Handle<$show> for $actor {
            async fn handle(&mut self, _message: $show, cx: &mut Context<'_>) -> Self {
                self.journal.add(cx.rsn().get(), Entry::new(What::Asked, 0, 0, 0));
                self.clone()
            }
        }
    )*};
}

answers! { Account, ShowAccount; Audit, ShowAudit; Summary, ShowSummary; }

/// Registers the actors of the workload.
pub fn builder() -> Builder {
    let builder = with_clerks(Runtime::builder()).actor::<Account>(register_account);
    builder.actor::<Audit>(register_audit).actor::<Summary>(register_summary).actor::<Trial>(register_trial)
}

/// Registers what an account handles.
#[must_use]
pub fn register_account(kind: KindBuilder<Account>) -> KindBuilder<Account> {
    kind.handles::<Post>().handles::<Confirm>().handles::<Peek>().handles::<ShowAccount>()
}

/// Registers what an audit handles. It waits for its outputs alone, between actors that wait for
/// each delivery.
#[must_use]
pub fn register_audit(kind: KindBuilder<Audit>) -> KindBuilder<Audit> {
    let kind = kind.handles::<Noted>().handles::<Peek>().handles::<ShowAudit>();
    kind.discipline(Discipline::BeforeOutput)
}

/// Registers what the summary handles.
#[must_use]
pub fn register_summary(kind: KindBuilder<Summary>) -> KindBuilder<Summary> {
    kind.handles::<Noted>().handles::<Peek>().handles::<ShowSummary>()
}
