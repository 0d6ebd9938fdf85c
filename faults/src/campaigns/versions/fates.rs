//! The known state of each trial, and the states that may follow. A handled trial stays handled. A
//! trial that an actor left out stays in quarantine until a worker takes it out. An actor leaves a
//! trial out only in the life in which it was sent.

use std::collections::{BTreeMap, BTreeSet};

use crate::workload::trial::{ECHO, How, LeftOut, WENT_ON, trier_of, what};
use crate::workload::{Effects, Readback, Version};

/// The known state of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// A worker sent it. Anything may have become of it.
    Unknown,
    /// A worker sent it, and no actor left it out before the worker of a later life began.
    Survived,
    /// An actor handled it, with this answer.
    Handled(u64),
    /// It is in quarantine.
    LeftOut,
    /// It never arrived, and never will.
    Gone,
    /// A worker was about to take it from quarantine, for another try.
    Retrying,
    /// A worker took it from quarantine, for another try.
    Retried,
    /// A worker was about to drop it.
    Dropping,
}

/// A trial.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// The life in which it was sent.
    life: u64,
    /// Whether the version of that life fails it.
    fails: bool,
    fate: Fate,
}

/// All trials of a store.
#[derive(Clone, Debug, Default)]
pub struct Fates {
    life: u64,
    trials: BTreeMap<u64, Known>,
}

/// How many trials reached each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trials {
    /// Sent.
    pub sent: u64,
    /// Handled, as their askers learned.
    pub handled: u64,
    /// Left out, as their askers learned.
    pub left_out: u64,
    /// Taken from quarantine to be tried again.
    pub retried: u64,
    /// Dropped.
    pub dropped: u64,
}

impl Fates {
    /// The number of the next trial.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.trials.keys().next_back().map_or(1, |last| last + 1)
    }

    /// The next life begins.
    pub fn live(&mut self) {
        self.life += 1;
    }

    /// A worker is about to send a trial to handlers of a version.
    pub fn send(&mut self, number: u64, version: &Version) {
        let fails = How::of(number).fails_in(version);
        self.trials.insert(number, Known { life: self.life, fails, fate: Fate::Unknown });
    }

    /// Takes in the outcome of a trial.
    ///
    /// # Errors
    /// An outcome that the trial must not have.
    pub fn told(&mut self, number: u64, answer: Option<u64>) -> Result<(), String> {
        let how = How::of(number);
        let Known { fails, .. } = *self.known(number)?;
        let fate = match answer {
            Some(WENT_ON) => {
                return Err(format!(
                    "trial {number} ({how:?}) was handled, though it gave up its side effect"
                ));
            }
            Some(_) if fails && matches!(how, How::Stumble | How::Local | How::Payload) => {
                return Err(format!("trial {number} ({how:?}) was handled, though its handler panics"));
            }
            None if !fails => {
                return Err(format!("trial {number} ({how:?}) was left out by code that handles it"));
            }
            Some(answer) => Fate::Handled(answer),
            None => Fate::LeftOut,
        };
        self.known(number)?.fate = fate;
        Ok(())
    }

    /// A worker is about to take a trial from quarantine.
    ///
    /// # Errors
    /// No trial has this number.
    pub fn discharge(&mut self, number: u64, retry: bool) -> Result<(), String> {
        self.known(number)?.fate = if retry { Fate::Retrying } else { Fate::Dropping };
        Ok(())
    }

    /// A worker took a trial from quarantine. Returns whether it is tried again.
    ///
    /// # Errors
    /// No trial has this number.
    pub fn discharged(&mut self, number: u64) -> Result<bool, String> {
        let known = self.known(number)?;
        let retried = known.fate == Fate::Retrying;
        known.fate = if retried { Fate::Retried } else { Fate::Gone };
        Ok(retried)
    }

    /// Takes in the content of the quarantine. Right after an opening (`at_opening`) that is what
    /// earlier lives have left there. The list has nothing of stopped actors.
    ///
    /// # Errors
    /// A trial that must not be in quarantine, or is missing there.
    pub fn quarantine(
        &mut self,
        entries: &[LeftOut],
        at_opening: bool,
        stopped: &BTreeSet<String>,
    ) -> Result<(), String> {
        let mut there = BTreeSet::new();
        for entry in entries {
            let number =
                entry.trial.ok_or_else(|| format!("a harmless delivery is in quarantine: {entry}"))?;
            if !there.insert(number) {
                return Err(format!("trial {number} is in quarantine twice"));
            }
            let life = self.life;
            let known = self.known(number)?;
            match known.fate {
                Fate::LeftOut | Fate::Retrying | Fate::Dropping => {}
                Fate::Unknown if known.fails => {
                    known.fate = Fate::LeftOut;
                }
                fate => {
                    let sent = known.life;
                    return Err(format!(
                        "trial {number}, sent in life {sent}, is in quarantine in life {life}, but was {fate:?}: {entry}"
                    ));
                }
            }
            let gave_up = matches!(How::of(number), How::TimeLimit | How::Race);
            if gave_up && !entry.reason.contains("\"slow\"") {
                return Err(format!("what trial {number} gave up is not named: {entry}"));
            }
        }
        for (number, known) in &mut self.trials {
            match known.fate {
                _ if stopped.contains(&format!("trial/{}", trier_of(*number))) => {}
                Fate::LeftOut if !there.contains(number) => {
                    return Err(format!("trial {number} was left out, and is not in quarantine"));
                }
                Fate::Unknown if at_opening && known.life < self.life => known.fate = Fate::Survived,
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks what came back in a life with the good version against the known states.
    ///
    /// # Errors
    /// An outcome that a trial must not have.
    pub fn came_back(&mut self, readback: &Readback, effects: &Effects) -> Result<(), String> {
        self.quarantine(&readback.trial_left_out, false, &BTreeSet::new())?;
        let left_out: BTreeSet<u64> =
            readback.trial_left_out.iter().filter_map(|entry| entry.trial).collect();
        let handled = handled(readback)?;
        let answers: BTreeMap<&str, u64> = effects.values().map(|e| (e.what.as_str(), e.answer)).collect();
        if let Some(number) = handled.keys().find(|number| !self.trials.contains_key(number)) {
            return Err(format!("trial {number} was handled, and never sent"));
        }
        for (number, known) in &mut self.trials {
            let fate = known.fate;
            known.fate = match (handled.get(number), left_out.contains(number)) {
                (Some(_), true) => return Err(format!("trial {number} was handled, and is in quarantine")),
                (Some(answer), false) if answers.get(what(*number).as_str()) != Some(answer) => {
                    return Err(format!(
                        "trial {number} was handled with {answer}, which is not what was answered"
                    ));
                }
                (Some(answer), false) if may_be_handled(fate, *answer) => Fate::Handled(*answer),
                (None, true) => Fate::LeftOut,
                (None, false)
                    if matches!(fate, Fate::Unknown | Fate::Survived | Fate::Dropping | Fate::Gone) =>
                {
                    Fate::Gone
                }
                (now, _) => {
                    return Err(format!(
                        "trial {number} ({:?}), sent in life {}, was {fate:?}, and has come back as {now:?}",
                        How::of(*number),
                        known.life
                    ));
                }
            };
        }
        Ok(())
    }

    fn known(&mut self, number: u64) -> Result<&mut Known, String> {
        self.trials.get_mut(&number).ok_or_else(|| format!("trial {number} was never sent"))
    }
}

fn may_be_handled(fate: Fate, answer: u64) -> bool {
    match fate {
        Fate::Unknown | Fate::Survived | Fate::Retrying | Fate::Retried => true,
        Fate::Handled(before) => before == answer,
        Fate::LeftOut | Fate::Gone | Fate::Dropping => false,
    }
}

/// All handled trials with their answers. Checks that each was handled once, by the actor that it
/// was sent to, and echoed.
fn handled(readback: &Readback) -> Result<BTreeMap<u64, u64>, String> {
    let (mut handled, mut echoed) = (BTreeMap::new(), BTreeMap::new());
    for (key, trial) in &readback.trials {
        for (number, answer) in &trial.handled {
            let all = if key == ECHO { &mut echoed } else { &mut handled };
            if all.insert(*number, *answer).is_some() {
                return Err(format!("trial {number} has come to trial/{key} twice"));
            }
            if key != ECHO && *key != trier_of(*number) {
                return Err(format!("trial {number} has come to trial/{key}"));
            }
        }
    }
    if let Some(number) = echoed.keys().find(|number| !handled.contains_key(number)) {
        return Err(format!("trial {number} was passed on, and is not handled: it was released"));
    }
    if handled != echoed {
        let missing = handled.keys().find(|number| !echoed.contains_key(number));
        return Err(format!("trial {missing:?} was handled, and not passed on as it was"));
    }
    Ok(handled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(number: u64, reason: &str) -> LeftOut {
        let actor = format!("trial/{}", trier_of(number));
        LeftOut { actor, rsn: 3, trial: Some(number), reason: reason.to_owned() }
    }

    /// Negative test: the check notices each outcome that a trial must not have.
    #[test]
    fn a_trial_is_left_out_in_its_own_life_or_never() {
        let gives_up = Version { gives_up: true, ..Version::default() };
        let number = (1..20).find(|number| How::of(*number) == How::Race).unwrap();
        let fates = || {
            let mut fates = Fates::default();
            fates.live();
            fates.send(number, &gives_up);
            fates
        };
        let none = BTreeSet::new();
        let left_out = [entry(number, "it gave up \"slow\"")];
        let mut told = fates();
        assert!(told.told(number, Some(WENT_ON)).is_err());
        told.told(number, None).unwrap();
        told.quarantine(&left_out, true, &none).unwrap();
        assert!(told.quarantine(&[], true, &none).is_err(), "it is gone");
        assert!(told.quarantine(&[entry(number, "no")], true, &none).is_err(), "nothing is named");
        let mut late = fates();
        late.live();
        late.quarantine(&[], true, &none).unwrap();
        assert!(late.quarantine(&left_out, true, &none).is_err(), "it is left out in another life");
        let mut good = Fates::default();
        good.send(number, &Version::default());
        assert!(good.told(number, None).is_err() && good.quarantine(&left_out, true, &none).is_err());
        good.told(number, Some(5)).unwrap();
        assert!(
            good.came_back(&Readback::default(), &Effects::default()).is_err(),
            "it was handled and is lost"
        );
    }
}
