//! Mutants of the example `demo/orders/`: what its tests hold of a program that is copied.

use super::mutant::{Edit, Mutant, ORDERS, ORDERS_KILLED};

pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "an order whose charge is unknown keeps its key",
        edits: &[Edit {
            file: "demo/orders/src/order.rs",
            find: "        let charge = Charge { order: self.name.clone(), cents: placed.cents, card };\n",
            replace: "        drop(key);\n        let key = cx.idempotency_key();\n        let charge = Charge { order: self.name.clone(), cents: placed.cents, card };\n",
        }],
        test: ORDERS.filter("order_tests::an_order_whose_charge"),
    },
    Mutant {
        name: "an order whose charge is unknown is not cancelled",
        edits: &[Edit {
            file: "demo/orders/src/order.rs",
            find: "            Status::Reserved => {\n                placed.status = Status::Cancelled;\n",
            replace: "            Status::Reserved | Status::Paying => {\n                placed.status = Status::Cancelled;\n",
        }],
        test: ORDERS.filter("order_tests::an_order_whose_charge"),
    },
    Mutant {
        name: "the provider charges once for each key",
        edits: &[Edit {
            file: "demo/orders/src/provider.rs",
            find: "        match self.charges.get(&key) {\n",
            replace: "        match self.charges.get(&format!(\"{key}?\")) {\n",
        }],
        test: ORDERS_KILLED.filter("a_shop_that_is_killed"),
    },
];
