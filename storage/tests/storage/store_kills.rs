//! Invariants: prefix, checkpoint-covers-log. A process killed at any boundary of a store leaves
//! everything that was acknowledged to it, on either medium. Packs are as small as possible, so
//! that the store closes, empties and removes them all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use relive_storage::conformance::{checkpoint, id};
use relive_storage::medium::Medium;
use relive_storage::{
    CheckpointStore, Durability, LayeredOptions, LayeredStore, Log, Lsn, MediumKind, SegmentFiles,
    SegmentOptions, scan,
};
use relive_storage_sled::SledMedium;

use crate::boundaries::{Reached, die_as_told, run_and_die_at, told};
use crate::content::{last_number, next_block, read_all};

const DIRECTORY: &str = "RELIVE_STORE_KILLED";
const MEDIUM: &str = "RELIVE_STORE_KILLED_MEDIUM";
const MEDIA: [MediumKind; 2] = [MediumKind::Sled, MediumKind::SegmentFiles];

#[test]
fn what_a_process_was_told_that_is_killed_at_a_boundary_is_there() {
    let mut reached = BTreeSet::new();
    for kind in MEDIA {
        let root = tempfile::tempdir().unwrap();
        let run = |directory: &str, at: &str| {
            let path = root.path().join(directory);
            // One life that makes the store, and one that goes on with it: each dies there in
            // another run.
            let first = write(&path, kind, if directory.starts_with("first") { at } else { "" });
            let second = write(&path, kind, if directory.starts_with("second") { at } else { "" });
            let known = first.known.and(second.known);
            check(&path, &known).unwrap_or_else(|error| panic!("{kind}, {directory}, {at}: {error}"));
            // And a third one goes on from there.
            let third = write(&path, kind, "");
            check(&path, &known.and(third.known))
                .unwrap_or_else(|error| panic!("{kind}, {directory}, {at}: {error}"));
            (first.reached, second.reached)
        };
        let (first, second) = run("counted", "");
        let lives = [("first", first), ("second", second)];
        let at = |(life, counts): &(&'static str, Reached)| {
            let life = *life;
            let nth = |count: u64| match life {
                "first" => BTreeSet::from([count.div_ceil(2)]),
                _ => BTreeSet::from([1, count]),
            };
            let each = |(name, count): (&String, &u64)| {
                nth(*count).into_iter().map(|nth| (life, format!("{name}:{nth}"))).collect::<Vec<_>>()
            };
            counts.iter().flat_map(each).collect::<Vec<_>>()
        };
        let cases: Vec<_> = lives.iter().flat_map(at).collect();
        for (number, (life, at)) in cases.iter().enumerate() {
            let (first, second) = run(&format!("{life} {number}"), at);
            let died = if *life == "first" { first } else { second };
            // A thread that works ahead reaches its boundaries as often as it has time.
            assert!(
                died.is_empty() || at.starts_with("medium.") || at.starts_with("durable."),
                "{kind}: {at}"
            );
        }
        println!("on {kind} {} processes were killed", cases.len());
        reached.extend(lives.into_iter().flat_map(|(_, counts)| counts.into_keys()));
    }
    // The runs reach every boundary that the documentation names.
    let documentation = include_str!("../../src/boundary.rs");
    let names = documentation.lines().filter_map(|line| line.strip_prefix("//! | `")?.split_once('`'));
    let names = names.map(|(name, _)| name.to_owned());
    let elsewhere =
        |name: &String| ["recovery.", "convert.", "open.format"].iter().any(|begin| name.starts_with(begin));
    let missing: Vec<_> = names.filter(|name| !elsewhere(name) && !reached.contains(name)).collect();
    assert!(missing.is_empty(), "these are never reached: {missing:?}");
}

/// What was acknowledged to a process: the least end of the log, and the newest checkpoint of each
/// actor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    end: u64,
    actors: BTreeMap<String, u64>,
}

impl Known {
    /// This, and what was acknowledged to a later process.
    fn and(mut self, later: Self) -> Self {
        self.actors.extend(later.actors);
        Self { end: self.end.max(later.end), actors: self.actors }
    }
}

struct Life {
    known: Known,
    reached: Reached,
}

/// Starts a process that writes, and dies at a boundary.
fn write(path: &Path, kind: MediumKind, kill_at: &str) -> Life {
    let kind = kind.to_string();
    let variables = [(DIRECTORY, path), (MEDIUM, Path::new(&kind))];
    let text = run_and_die_at("store_kills::child", kill_at, &variables);
    let mut known = Known::default();
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["acknowledged", end] => known.end = end.parse().unwrap(),
            ["checkpoint", actor, number] => {
                known.actors.insert(format!("test/{actor}"), number.parse().unwrap());
            }
            _ => {}
        }
    }
    Life { known, reached: told(&text) }
}

/// Checks that a store has everything that was acknowledged to a process.
fn check(path: &Path, known: &Known) -> Result<(), String> {
    if !path.join("relive.store").exists() {
        return if *known == Known::default() {
            Ok(())
        } else {
            Err(format!("there is no store, and {known:?}"))
        };
    }
    let found = read_all(path).map_err(|error| error.to_string())?;
    let end = found.blocks.last().map_or(0, |(first, _)| first.get() + 1);
    if end < known.end {
        return Err(format!("the log ends at {end}, and {known:?}"));
    }
    for (actor, number) in &known.actors {
        let newest = found.checkpoints.get(actor.as_str()).and_then(|(newest, _)| newest.as_ref());
        let newest = newest.ok_or_else(|| format!("{actor} has no checkpoint, and {known:?}"))?;
        let written = checkpoint(&newest.header.actor, newest.header.number.get(), newest.body.len());
        if newest.header.number.get() < *number || *newest != written {
            return Err(format!("{actor} has {:?}, and {known:?}", newest.header));
        }
    }
    Ok(())
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn child() {
    let (Some(path), Ok(kind)) = (std::env::var_os(DIRECTORY), std::env::var(MEDIUM)) else { return };
    let counting = die_as_told();
    let on_sled = kind == MediumKind::Sled.to_string();
    let medium = move || -> Result<Box<dyn Medium>, _> {
        if on_sled {
            return Ok(Box::new(SledMedium::open(path, Durability::PowerLoss)?));
        }
        let options = SegmentOptions::default().segment_bytes(16 << 10);
        Ok(Box::new(SegmentFiles::open(path, &options)?))
    };
    let store = LayeredStore::open(medium, &LayeredOptions::default().pack_bytes(1)).unwrap();
    let mut next = scan(&store, &mut |_, _| Ok(())).unwrap().next.get();
    let mut number = last_number(&store);
    println!();
    for step in 0..24 {
        let block = next_block(next, step);
        store.append(&block).unwrap();
        store.sync().unwrap();
        println!("acknowledged {}", block.header().first.get() + 1);
        next = block.header().next().get();
        if step % 2 == 1 {
            // In a pack with several checkpoints, some die sooner than others.
            let actors: Vec<_> = (0..1 + step % 5).map(|actor| id(&actor.to_string())).collect();
            let checkpoints: Vec<_> =
                (number + 1..).zip(&actors).map(|(number, actor)| checkpoint(actor, number, 900)).collect();
            store.put(&checkpoints).unwrap();
            for (number, actor) in (number + 1..).zip(&actors) {
                println!("checkpoint {} {number}", actor.key());
            }
            number += checkpoints.len() as u64;
        }
        if step % 8 == 7 {
            store.cut(Lsn::new(next.saturating_sub(6))).unwrap();
        }
    }
    store.close().unwrap();
    counting.tell();
}
