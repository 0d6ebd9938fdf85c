//! Actors that ask, race, sleep and set timers: clerks do what requests order, and vaults pay and
//! count. Of both there is one kind that waits for each delivery, and one that waits for its
//! outputs alone, so each chain mixes the two. They record what they met, and judge nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use relive::{
    Actor, Answer, AskFailure, Builder, Context, Discipline, Either, Handle, KindBuilder, Message, Query,
};
use serde::{Deserialize, Serialize};

use super::order::{Order, TICKS, vault_of};
use super::outside::perform;
use super::plan::fold;
use super::version::Bomb;

/// What an ask of a vault gave.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Drawn {
    /// The number of the payment.
    Paid(u64),
    /// No reply came in the time of the ask.
    TimedOut,
    /// The sleep has won.
    Slept,
    /// The vault has stopped.
    Stopped,
    /// Another failure, which nothing in the workload explains.
    Failed(String),
}

impl Drawn {
    fn digest(&self) -> u64 {
        match self {
            Self::Paid(serial) => fold(1, *serial),
            Self::TimedOut => 2,
            Self::Slept => 3,
            Self::Stopped => 4,
            Self::Failed(_) => 5,
        }
    }
}

impl From<Result<u64, AskFailure>> for Drawn {
    fn from(asked: Result<u64, AskFailure>) -> Self {
        match asked {
            Ok(serial) => Self::Paid(serial),
            Err(AskFailure::TimedOut { .. }) => Self::TimedOut,
            Err(AskFailure::Stopped { .. }) => Self::Stopped,
            Err(failure) => Self::Failed(failure.to_string()),
        }
    }
}

/// A firing of a timer of a deed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rang {
    /// The delivery.
    pub rsn: u64,
    /// When it was due.
    pub due: u64,
    /// The clock of the delivery.
    pub now: u64,
}

/// What a clerk did for a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deed {
    /// What was ordered.
    pub order: Order,
    /// How often the request was handled.
    pub times: u64,
    /// The delivery.
    pub rsn: u64,
    /// What its asks gave.
    pub drawn: Vec<Drawn>,
    /// What the outside answered, when it was told who has won a race.
    pub told: Option<u64>,
    /// The firings of its timer.
    pub firings: Vec<Rang>,
    /// The delivery that took its timer away, and whether the timer was still set.
    pub revoked: Option<(u64, bool)>,
}

impl Deed {
    /// What the client is told: a digest of everything that the handler met.
    #[must_use]
    pub fn reply(&self, number: u64) -> u64 {
        let drawn = self.drawn.iter().map(Drawn::digest);
        drawn.chain([self.told.map_or(1, |told| fold(2, told))]).fold(fold(number, self.rsn), fold)
    }

    /// The payload of the effect that tells who has won the race of a request.
    #[must_use]
    pub fn payload(&self, number: u64) -> u64 {
        self.drawn.iter().map(Drawn::digest).fold(fold(number, 0x3ace), fold)
    }
}

/// What a clerk knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClerkState {
    /// By the number of the request.
    pub deeds: BTreeMap<u64, Deed>,
    /// Firings of timers of which it knows no deed.
    pub strays: Vec<u64>,
    /// Deliveries so far, except questions.
    pub count: u64,
}

/// Does what requests order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Clerk<const EAGER: bool> {
    /// What it knows.
    pub state: ClerkState,
    #[serde(skip)]
    bomb: Bomb,
}

/// What a vault knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VaultState {
    /// The numbers of the payments, by request.
    pub paid: BTreeMap<u64, Vec<u64>>,
    /// How often the timer of a request has sent to it.
    pub rung: BTreeMap<u64, u64>,
    /// Deliveries so far, except questions.
    pub count: u64,
}

/// Pays.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Vault<const EAGER: bool> {
    /// What it knows.
    pub state: VaultState,
    #[serde(skip)]
    bomb: Bomb,
}

impl<const EAGER: bool> Actor for Clerk<EAGER> {
    const KIND: &'static str = if EAGER { "eager-clerk" } else { "clerk" };

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

impl<const EAGER: bool> Actor for Vault<EAGER> {
    const KIND: &'static str = if EAGER { "eager-vault" } else { "vault" };

    fn create(_key: &str) -> Self {
        Self::default()
    }
}

/// The key of each vault.
pub const VAULT: &str = "all";

/// Whether an actor is a clerk.
#[must_use]
pub fn is_clerk(actor: &str) -> bool {
    matches!(actor.split('/').next(), Some(Clerk::<false>::KIND | Clerk::<true>::KIND))
}

macro_rules! message {
    ($(#[$doc:meta])* $name:ident $fields:tt, $text:literal, $reply:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
        pub struct $name $fields

        impl Message for $name {
            const NAME: &'static str = $text;
            type Reply = $reply;
        }
    };
}

message! {
    /// A request; the reply is [`Deed::reply`].
    Do {
        /// Its number.
        pub number: u64,
        /// What to do.
        pub order: Order,
    }, "do", u64
}
message! {
    /// A clerk asks a vault for a payment; the reply is the number of the payment.
    Draw {
        /// The request.
        pub number: u64,
    }, "draw", u64
}
message! {
    /// A timer has fired.
    Ring {
        /// The request.
        pub number: u64,
    }, "ring", ()
}
message! {
    /// A timer takes away the timer of a request.
    Revoke {
        /// The request.
        pub number: u64,
    }, "revoke", ()
}
message! {
    /// The reply stands behind everything that was on its way to the actor.
    Settle {}, "settle", ()
}

macro_rules! query {
    ($(#[$doc:meta])* $name:ident, $text:literal, $answer:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Serialize, Deserialize)]
        pub struct $name {}

        impl Query for $name {
            const NAME: &'static str = $text;
            type Answer = $answer;
        }
    };
}

query! {
    /// How many deliveries an actor has handled.
    Count, "count", u64
}
query! {
    /// All that a clerk knows.
    ShowClerk, "show-clerk", ClerkState
}
query! {
    /// All that a vault knows.
    ShowVault, "show-vault", VaultState
}

fn timer(number: u64) -> String {
    format!("timer {number}")
}

/// Asks a vault for a payment.
async fn draw(cx: &Context<'_>, number: u64, eager: bool, millis: Option<u64>) -> Drawn {
    async fn ask<V: Handle<Draw>>(cx: &Context<'_>, number: u64, millis: Option<u64>) -> Drawn {
        let ask = cx.to::<V>(VAULT).ask(Draw { number });
        match millis {
            Some(millis) => ask.timeout(Duration::from_millis(millis)).await.into(),
            None => ask.await.into(),
        }
    }
    if eager {
        ask::<Vault<true>>(cx, number, millis).await
    } else {
        ask::<Vault<false>>(cx, number, millis).await
    }
}

impl<const EAGER: bool> Clerk<EAGER> {
    /// The asks of an order.
    async fn drawn(cx: &Context<'_>, number: u64, order: Order) -> Vec<Drawn> {
        let eager = vault_of(number)[0];
        match order {
            Order::Draw => vec![draw(cx, number, eager, None).await],
            Order::DrawWithin(millis) => vec![draw(cx, number, eager, Some(millis)).await],
            Order::DrawBoth => {
                let both = [false, true].map(|eager| draw(cx, number, eager, None));
                cx.join_all(both).await
            }
            Order::Race(micros) => {
                let sleep = cx.sleep(Duration::from_micros(micros));
                match cx.race(draw(cx, number, eager, None), sleep).await {
                    Either::First(drawn) => vec![drawn],
                    Either::Second(()) => vec![Drawn::Slept],
                }
            }
            _ => Vec::new(),
        }
    }

    /// Sets the timers of an order.
    fn set(cx: &Context<'_>, number: u64, order: Order) {
        let new = cx.timer(&timer(number));
        let soon = Duration::from_micros;
        let set = match order {
            Order::Remind(micros) => new.after(soon(micros)).to_self::<Self>().send(Ring { number }),
            Order::Tick(micros) => new.every(soon(micros)).to_self::<Self>().send(Ring { number }),
            Order::Post(micros) if vault_of(number)[0] => {
                new.after(soon(micros)).to::<Vault<true>>(VAULT).send(Ring { number })
            }
            Order::Post(micros) => new.after(soon(micros)).to::<Vault<false>>(VAULT).send(Ring { number }),
            Order::Revoke(due, revoked) => {
                let set = new.after(soon(due)).to_self::<Self>().send(Ring { number });
                let revoking = cx.timer(&format!("revoke {number}")).after(soon(revoked));
                set.and(revoking.to_self::<Self>().send(Revoke { number }))
            }
            _ => return,
        };
        set.expect("the timers are few and small");
    }
}

impl<const EAGER: bool> Handle<Do> for Clerk<EAGER> {
    async fn handle(&mut self, message: Do, cx: &mut Context<'_>) -> u64 {
        let Do { number, order } = message;
        self.bomb.arm();
        self.state.count += 1;
        let times = self.state.deeds.get(&number).map_or(1, |deed| deed.times + 1);
        let (rsn, drawn) = (cx.rsn().get(), Self::drawn(cx, number, order).await);
        let mut deed = Deed { order, times, rsn, drawn, told: None, firings: Vec::new(), revoked: None };
        if matches!(order, Order::Race(_)) {
            let (key, payload) = (cx.idempotency_key(), deed.payload(number));
            let what = format!("{}#{number}.0", cx.actor());
            deed.told = Some(cx.side_effect("winner", || perform(key, payload, what)).await);
        }
        Self::set(cx, number, order);
        let reply = deed.reply(number);
        self.state.deeds.insert(number, deed);
        reply
    }
}

impl<const EAGER: bool> Handle<Ring> for Clerk<EAGER> {
    async fn handle(&mut self, message: Ring, cx: &mut Context<'_>) {
        let Ring { number } = message;
        self.bomb.arm();
        self.state.count += 1;
        let (rsn, now) = (cx.rsn().get(), cx.now().as_micros());
        let due = cx.timer_firing().map_or(u64::MAX, |firing| firing.due.as_micros());
        let Some(deed) = self.state.deeds.get_mut(&number) else {
            self.state.strays.push(number);
            return;
        };
        deed.firings.push(Rang { rsn, due, now });
        if matches!(deed.order, Order::Tick(_)) && deed.firings.len() >= TICKS {
            deed.revoked = Some((rsn, cx.cancel_timer(&timer(number))));
        }
    }
}

impl<const EAGER: bool> Handle<Revoke> for Clerk<EAGER> {
    async fn handle(&mut self, message: Revoke, cx: &mut Context<'_>) {
        let Revoke { number } = message;
        self.bomb.arm();
        self.state.count += 1;
        let revoked = (cx.rsn().get(), cx.cancel_timer(&timer(number)));
        match self.state.deeds.get_mut(&number) {
            Some(deed) if deed.revoked.is_none() => deed.revoked = Some(revoked),
            _ => self.state.strays.push(number),
        }
    }
}

impl<const EAGER: bool> Handle<Draw> for Vault<EAGER> {
    async fn handle(&mut self, message: Draw, _cx: &mut Context<'_>) -> u64 {
        self.bomb.arm();
        self.state.count += 1;
        self.state.paid.entry(message.number).or_default().push(self.state.count);
        self.state.count
    }
}

impl<const EAGER: bool> Handle<Ring> for Vault<EAGER> {
    async fn handle(&mut self, message: Ring, _cx: &mut Context<'_>) {
        self.bomb.arm();
        self.state.count += 1;
        *self.state.rung.entry(message.number).or_default() += 1;
    }
}

macro_rules! answers {
    ($($actor:ident, $show:ty, $state:ty;)*) => {$(
        impl<const EAGER: bool> Handle<Settle> for $actor<EAGER> {
            async fn handle(&mut self, _message: Settle, _cx: &mut Context<'_>) {
                self.bomb.arm();
            }
        }

        impl<const EAGER: bool> Answer<Count> for $actor<EAGER> {
            fn answer(&self, _query: Count) -> u64 {
                self.state.count
            }
        }

        impl<const EAGER: bool> Answer<$show> for $actor<EAGER> {
            fn answer(&self, _query: $show) -> $state {
                self.state.clone()
            }
        }
    )*};
}

answers! { Clerk, ShowClerk, ClerkState; Vault, ShowVault, VaultState; }

fn discipline(eager: bool) -> Discipline {
    if eager { Discipline::BeforeOutput } else { Discipline::BeforeHandling }
}

/// Registers what a clerk handles.
#[must_use]
pub fn register_clerk<const EAGER: bool>(kind: KindBuilder<Clerk<EAGER>>) -> KindBuilder<Clerk<EAGER>> {
    let kind = kind.handles::<Do>().handles::<Ring>().handles::<Revoke>().handles::<Settle>();
    kind.answers::<Count>().answers::<ShowClerk>().discipline(discipline(EAGER))
}

/// Registers what a vault handles.
#[must_use]
pub fn register_vault<const EAGER: bool>(kind: KindBuilder<Vault<EAGER>>) -> KindBuilder<Vault<EAGER>> {
    let kind = kind.handles::<Draw>().handles::<Ring>().handles::<Settle>();
    kind.answers::<Count>().answers::<ShowVault>().discipline(discipline(EAGER))
}

/// Registers clerks and vaults.
pub fn with_clerks(builder: Builder) -> Builder {
    let builder = builder.actor::<Clerk<false>>(register_clerk).actor::<Clerk<true>>(register_clerk);
    builder.actor::<Vault<false>>(register_vault).actor::<Vault<true>>(register_vault)
}
