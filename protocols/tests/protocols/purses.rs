//! An application to take checkpoints of: purses that send each other coins. Knows no protocol.

use std::collections::{BTreeMap, VecDeque};

use crate::explorer::State;

/// The state of one process.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Purse {
    pub(crate) coins: u8,
    /// How many coins it may still send.
    pub(crate) sends_left: u8,
    /// How many it has sent to each other one, and received.
    pub(crate) sent: BTreeMap<u8, u8>,
    pub(crate) received: BTreeMap<u8, u8>,
}

impl Purse {
    pub(crate) fn new(coins: u8, sends_left: u8) -> Self {
        Self { coins, sends_left, sent: BTreeMap::new(), received: BTreeMap::new() }
    }

    pub(crate) fn may_send(&self) -> bool {
        self.coins > 0 && self.sends_left > 0
    }

    /// Sends a coin: its number in the channel, from 1.
    pub(crate) fn send(&mut self, to: u8) -> u8 {
        (self.coins, self.sends_left) = (self.coins - 1, self.sends_left - 1);
        let sent = self.sent.entry(to).or_default();
        *sent += 1;
        *sent
    }

    /// Receives a coin.
    ///
    /// # Panics
    /// When it is not the next in its channel.
    pub(crate) fn receive(&mut self, from: u8, coin: u8) {
        self.coins += 1;
        let received = self.received.entry(from).or_default();
        *received += 1;
        assert_eq!(coin, *received, "the coins of {from} come in order");
    }
}

/// The purses and what is in their channels: the state of a system without a protocol, or a cut.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Purses {
    pub(crate) purses: Vec<Purse>,
    /// From one to another.
    pub(crate) channels: BTreeMap<(u8, u8), VecDeque<u8>>,
}

impl Purses {
    pub(crate) fn coins(&self) -> usize {
        let held: usize = self.purses.iter().map(|purse| usize::from(purse.coins)).sum();
        held + self.channels.values().map(VecDeque::len).sum::<usize>()
    }

    /// What makes this no consistent cut with exact channels: coins that were received and not
    /// sent, or that are in no place.
    pub(crate) fn inconsistency(&self) -> Option<String> {
        for (&(from, to), channel) in &self.channels {
            let count = |of: &BTreeMap<u8, u8>, other| of.get(&other).copied().unwrap_or_default();
            let sent = count(&self.purses[usize::from(from)].sent, to);
            let received = count(&self.purses[usize::from(to)].received, from);
            if !channel.iter().copied().eq(received + 1..=sent) {
                let found =
                    format!("{from} has sent {sent} to {to}, which has {received}, {channel:?} between");
                return Some(found);
            }
        }
        None
    }
}

impl State for Purses {
    fn next(&self) -> Vec<(String, Self)> {
        let mut next = Vec::new();
        for &(from, to) in self.channels.keys() {
            if self.purses[usize::from(from)].may_send() {
                let mut after = self.clone();
                let coin = after.purses[usize::from(from)].send(to);
                after.channels.entry((from, to)).or_default().push_back(coin);
                next.push((format!("{from} sends {to} a coin"), after));
            }
            let mut after = self.clone();
            if let Some(coin) = after.channels.entry((from, to)).or_default().pop_front() {
                after.purses[usize::from(to)].receive(from, coin);
                next.push((format!("{to} gets a coin of {from}"), after));
            }
        }
        next
    }
}
