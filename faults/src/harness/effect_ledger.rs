//! The ledger of effects: which effect came with which payload under its idempotency key, and which
//! answer it got. The ledger syncs its file before each answer. Each answer depends on how many
//! effects came before it, so no other process can compute it.
//!
//! | line of the file | meaning |
//! | --- | --- |
//! | `new KEY PAYLOAD ANSWER WHAT` | an effect came for the first time; what it is, whatever its key |
//! | `again KEY` | it came again with the same payload: an effect happens *at least* once |
//! | `conflict KEY PAYLOAD` | it came again with another payload: a violation |

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::Path;

pub use crate::workload::Effects;
use crate::workload::plan::fold;
use crate::workload::{Effect, EffectKey};

/// The ledger, for the one process that writes it.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    effects: Effects,
}

impl Ledger {
    /// Opens the ledger of a file, and makes the file if there is none.
    ///
    /// # Errors
    /// The file can't be opened, or is not a ledger.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self { file, effects: read(path)? })
    }

    /// Takes an effect, and returns the answer, which is always the same for a key. The effect is
    /// on stable storage when this returns.
    ///
    /// # Errors
    /// The key is malformed, or the system can't write the file.
    pub fn take(&mut self, key: &str, payload: u64, what: &str) -> io::Result<u64> {
        let parsed = EffectKey::parse(key).ok_or_else(|| malformed(key))?;
        let line = match self.effects.get(&parsed) {
            None => format!("new {key} {payload} {} {what}\n", fold(payload, self.effects.len() as u64)),
            Some(effect) if effect.payload == payload => format!("again {key}\n"),
            Some(_) => format!("conflict {key} {payload}\n"),
        };
        self.file.write_all(line.as_bytes())?;
        self.file.sync_data()?;
        apply(&mut self.effects, line.trim_end())?;
        Ok(self.effects.get(&parsed).map_or(0, |effect| effect.answer))
    }
}

/// Reads a ledger's file. A line without an end does not count yet.
///
/// # Errors
/// The file can't be read, or is not a ledger.
pub fn read(path: &Path) -> io::Result<Effects> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Effects::new()),
        Err(error) => return Err(error),
    };
    let mut effects = Effects::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        apply(&mut effects, line)?;
    }
    Ok(effects)
}

fn apply(effects: &mut Effects, line: &str) -> io::Result<()> {
    let words: Vec<&str> = line.split(' ').collect();
    let key = words.get(1).and_then(|key| EffectKey::parse(key)).ok_or_else(|| malformed(line))?;
    let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).ok_or_else(|| malformed(line));
    if words[0] == "new" {
        let (payload, answer) = (number(2)?, number(3)?);
        let what = words.get(4).ok_or_else(|| malformed(line))?.to_string();
        effects.insert(key, Effect { payload, answer, what, times: 1, ..Effect::default() });
        return Ok(());
    }
    let effect = effects.get_mut(&key).ok_or_else(|| malformed(line))?;
    effect.times += 1;
    match words[0] {
        "again" => Ok(()),
        "conflict" => {
            effect.conflict = Some(number(2)?);
            Ok(())
        }
        _ => Err(malformed(line)),
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("not of a ledger: {what:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reader of the file finds the same effects and answers as the writer.
    #[test]
    fn effects_are_known_by_their_keys() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("effects");
        let mut ledger = Ledger::open(&path).unwrap();
        let first = ledger.take("ab/account/1/7/0", 10, "what-0").unwrap();
        let other = ledger.take("ab/account/1/7/1", 10, "what-1").unwrap();
        assert_ne!(first, other);
        assert_eq!(ledger.take("ab/account/1/7/0", 10, "what-0").unwrap(), first);
        assert_eq!(ledger.take("ab/account/1/7/0", 11, "what-0").unwrap(), first);
        assert!(ledger.take("7", 11, "what").is_err());
        let effects = read(&path).unwrap();
        assert_eq!(effects, ledger.effects);
        let effect = &effects[&EffectKey::parse("ab/account/1/7/0").unwrap()];
        assert_eq!((effect.payload, effect.times, effect.conflict), (10, 3, Some(11)));
        let mut again = Ledger::open(&path).unwrap();
        assert_eq!(again.take("ab/account/1/7/1", 10, "what-1").unwrap(), other);
    }
}
