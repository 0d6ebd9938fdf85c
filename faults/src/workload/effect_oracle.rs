//! Compares one effect with the ledger of effects.

use super::client_view::{ClientView, EffectKey};
use super::outside::answer_without_ledger;
use super::violation::Violation;

/// Compares one effect of a life with the ledger.
pub(super) fn effect(view: &ClientView, key: EffectKey, payload: u64, answer: u64) -> Result<(), Violation> {
    let Some(effects) = &view.effects else {
        let expected = answer_without_ledger(&key.to_string(), payload);
        return if answer == expected {
            Ok(())
        } else {
            Err(Violation::EffectDiffers { key, what: "the answer", expected: answer, found: expected })
        };
    };
    match effects.get(&key) {
        None => Err(Violation::EffectMissing { key }),
        Some(effect) if effect.payload != payload => {
            let found = effect.payload;
            Err(Violation::EffectDiffers { key, what: "the payload", expected: payload, found })
        }
        Some(effect) if effect.answer != answer => {
            Err(Violation::EffectDiffers { key, what: "the answer", expected: answer, found: effect.answer })
        }
        Some(_) => Ok(()),
    }
}
