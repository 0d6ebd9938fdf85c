//! How a handler reaches what its program provides, and how one stops that lacks something. Knows
//! no value.

use std::panic::resume_unwind;

use crate::dependencies::{Dependencies, Dependency};
use crate::{Context, HaltReason};

impl<'t> Context<'t> {
    /// The value of this type that the program has provided (`relive::Builder::provide`): an HTTP
    /// client, a configuration. The reference does not borrow the context, so a side effect may use
    /// it.
    ///
    /// A replay reaches the values of the present opening, which may be others than those of the
    /// original run. So outside of side effects take nothing from a value that may differ from run
    /// to run: a setting that changes state or sends is a divergence when it has changed. Take it
    /// in a side effect, which records it.
    ///
    /// # Errors
    /// There is no error to handle. Without such a value the handler stops with
    /// [`HaltReason::MissingDependency`]: nothing of the delivery is released, and the actor stops
    /// until an opening provides the value. No such delivery goes into quarantine. Declare what a
    /// kind needs ([`KindBuilder::needs`](crate::KindBuilder::needs)), and the opening says what is
    /// missing before anything runs.
    ///
    /// # Panics
    /// Without such a value the handler unwinds like a panic, but without a message. In a program
    /// that aborts on panics, that ends the process; declare what you need there.
    ///
    /// # Examples
    /// ```
    /// # use relive_replay::{Actor, Context, Handle, Message};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize)] struct Order { paid: bool, seen: Vec<u64> }
    /// # impl Actor for Order { const KIND: &'static str = "order"; fn create(_: &str) -> Self { Order { paid: false, seen: vec![] } } }
    /// # #[derive(Serialize, Deserialize)] struct Pay { cents: u64 }
    /// # impl Message for Pay { const NAME: &'static str = "pay"; type Reply = (); }
    /// struct Bank; // a client of a service
    ///
    /// impl Bank {
    ///     async fn charge(&self, key: String, cents: u64) -> bool {
    ///         !key.is_empty() && cents > 0
    ///     }
    /// }
    ///
    /// impl Handle<Pay> for Order {
    ///     async fn handle(&mut self, Pay { cents }: Pay, cx: &mut Context<'_>) {
    ///         let bank = cx.dependency::<Bank>();
    ///         self.paid = cx.keyed_side_effect("charge", |key| bank.charge(key, cents)).await;
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn dependency<T: Send + Sync + 'static>(&self) -> &'t T {
        if let Some(value) = self.dependencies.and_then(Dependencies::get) {
            return value;
        }
        let (message, dependency) = (self.delivery.message.to_string(), Dependency::of::<T>().name());
        self.waits.halt(HaltReason::MissingDependency { message, dependency: dependency.to_owned() });
        // There is no value to go on with. No panic: it would print a message, and be a reason of
        // its own.
        resume_unwind(Box::new(dependency))
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use relive_storage::record::{Delivery, Sender};
    use relive_storage::{ActorId, Rsn, StoreId};
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::payload::encode_shared;
    use crate::step::testing::step_once;
    use crate::{Actor, Handle, Instance, Kind, KindBuilder, Message, StepError, Tape, TapeOnly};

    struct Rate(u64);

    #[derive(Serialize, Deserialize)]
    struct Till {
        cents: u64,
    }

    impl Actor for Till {
        const KIND: &'static str = "till";

        fn create(_: &str) -> Self {
            Self { cents: 0 }
        }
    }

    #[derive(Serialize, Deserialize)]
    struct Pay {
        /// Catches the unwinding, and goes on.
        catch: bool,
    }

    impl Message for Pay {
        const NAME: &'static str = "pay";
        type Reply = ();
    }

    impl Handle<Pay> for Till {
        async fn handle(&mut self, Pay { catch }: Pay, cx: &mut Context<'_>) {
            if catch {
                let caught = catch_unwind(AssertUnwindSafe(|| cx.dependency::<Rate>().0));
                self.cents += caught.unwrap_or(1);
                cx.to::<Self>("other").send(Pay { catch }).unwrap();
            } else {
                self.cents += cx.dependency::<Rate>().0;
            }
        }
    }

    fn kind() -> Arc<dyn Kind> {
        KindBuilder::<Till>::new().handles::<Pay>().needs::<Rate>().build().unwrap()
    }

    /// What a till has after a payment.
    fn pay(kind: Arc<dyn Kind>, catch: bool) -> Result<u64, HaltReason> {
        let mut till = Instance::create(kind, ActorId::new("till", "one").unwrap(), StoreId::new(1));
        let (sender, clock, rsn) = (Sender::Outside, Default::default(), Rsn::new(1));
        till.admit(&sender);
        let (message, payload) = ("pay".into(), encode_shared(&Pay { catch }).unwrap());
        let delivery = Delivery { rsn, sender, asked: false, message, payload, clock, seed: 0 };
        let mut tape = Tape::after(Rsn::NONE);
        match step_once(till.process(), &delivery, &mut TapeOnly(&mut tape)) {
            Some(Ok(_)) => Ok(till.state::<Till>().unwrap().cents),
            Some(Err(StepError::Halted(halt))) => Err(halt.reason),
            other => panic!("it waits for nothing: {other:?}"),
        }
    }

    fn missing() -> HaltReason {
        let dependency = Dependency::of::<Rate>().name().to_owned();
        HaltReason::MissingDependency { message: "pay".to_owned(), dependency }
    }

    #[test]
    fn a_handler_reaches_what_is_provided() {
        let kind = kind();
        let mut dependencies = Dependencies::default();
        dependencies.provide(Rate(107));
        kind.equip(&Arc::new(dependencies));
        // A kind belongs to one runtime, so what it gets first stays.
        kind.equip(&Arc::default());
        assert_eq!(pay(kind, false), Ok(107));
    }

    /// What is missing stops the handler by that reason, whether or not it catches the unwinding,
    /// and whether nothing at all is provided or something else.
    #[test]
    fn a_handler_that_lacks_something_stops_by_name() {
        for catch in [false, true] {
            assert_eq!(pay(kind(), catch), Err(missing()));
            let (kind, mut dependencies) = (kind(), Dependencies::default());
            dependencies.provide(107_u64);
            kind.equip(&Arc::new(dependencies));
            assert_eq!(pay(kind, catch), Err(missing()));
        }
    }

    #[test]
    fn a_kind_says_what_it_needs() {
        assert_eq!(kind().needs(), [Dependency::of::<Rate>()]);
        assert_eq!(KindBuilder::<Till>::new().handles::<Pay>().build().unwrap().needs(), []);
    }
}
