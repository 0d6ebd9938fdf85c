//! The store over a medium loses its power in the middle of random calls of the medium, again and
//! again: everything synced is there, in order and unchanged, and everything else is missing only
//! from the end. Packs are small, so that these runs close, empty and remove them too.
//!
//! ```sh
//! RELIVE_POWER_RUNS=20000 RELIVE_POWER_SEED=1 cargo test -p relive-storage --test storage layered_power
//! ```

use relive_storage::simulated_medium::{Left, SimulatedMedium};
use relive_storage::{LayeredOptions, LayeredStore, Store};

use crate::power::{Device, Expected, LIVES, Random, check, live, number};

impl Device for SimulatedMedium {
    fn store(&self) -> Result<Box<dyn Store>, String> {
        let device = self.clone();
        let options = LayeredOptions::default().pack_bytes(1);
        let opened = LayeredStore::open(move || Ok(Box::new(device.open())), &options);
        opened.map(|store| Box::new(store) as Box<dyn Store>).map_err(|error| error.to_string())
    }

    fn is_powered(&self) -> bool {
        self.has_power()
    }
}

/// Runs lives on a device that loses its power in each. Returns the broken promise, if there is
/// one.
fn run(seed: u64, lies: bool) -> Result<(u64, u64), String> {
    let device = SimulatedMedium::new(seed);
    if lies {
        device.lie();
    }
    let mut random = Random(seed ^ 0x5851_f42d_4c95_7f2d);
    let mut expected = Expected::default();
    for life in 0..=LIVES {
        check(&device, &mut expected).map_err(|what| format!("life {life}: {what}"))?;
        if life < LIVES {
            let left = [Left::Nothing, Left::All, Left::Drawn][usize::try_from(random.below(3)).unwrap()];
            device.plan(1 + random.below(60), random.below(2) == 0, left);
            live(&device, &mut random, &mut expected);
            device.plan_nothing();
            if device.has_power() && random.below(2) == 0 {
                device.lose_power(left);
            }
        }
    }
    Ok((device.calls(), device.removed()))
}

/// Invariant: prefix.
#[test]
fn what_was_synced_survives_every_loss_of_power() {
    let runs = number("RELIVE_POWER_RUNS").unwrap_or(600);
    let first = number("RELIVE_POWER_SEED").unwrap_or(1);
    let (mut calls, mut removed) = (0, 0);
    for seed in first..first + runs {
        let counted = run(seed, false).unwrap_or_else(|what| {
            panic!("{what}\nRELIVE_POWER_RUNS=1 RELIVE_POWER_SEED={seed} cargo test -p relive-storage --test storage layered_power")
        });
        calls += counted.0;
        removed += counted.1;
    }
    assert!(runs < 100 || removed >= runs, "too few packs were removed to see anything: {removed}");
    println!("{runs} runs of {LIVES} lives each, {calls} writing calls, {removed} packs removed");
}

/// The test notices a medium that reports syncs and does not make them. So the test can fail.
#[test]
fn a_sync_that_lies_is_noticed() {
    let noticed = (1..100).filter(|seed| run(*seed, true).is_err()).count();
    assert!(noticed > 50, "{noticed} of 99");
}
