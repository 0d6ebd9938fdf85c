//! What the customers are going to do, and where the shop dies, all drawn from a seed.

/// `SplitMix64` (Steele, Lea and Flood, OOPSLA 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % bound
    }
}

/// An article of the shop: its name, the price of one in cents, how many there are.
pub(crate) struct Article {
    pub(crate) name: &'static str,
    pub(crate) cents: u64,
    pub(crate) count: u64,
}

/// There are enough chairs and tables for all orders, and few lamps.
pub(crate) const ARTICLES: [Article; 3] = [
    Article { name: "chair", cents: 4_900, count: 10_000 },
    Article { name: "table", cents: 25_000, count: 10_000 },
    Article { name: "lamp", cents: 1_999, count: 20 },
];

/// How a customer pays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pays {
    Once,
    /// Sends the request again, under the same key.
    Again,
    /// Sends another request, under another key.
    UnderOtherKey,
    /// With a card that is declined, and then no more.
    Declined,
    Never,
}

/// What one customer does.
#[derive(Clone, Debug)]
pub(crate) struct Customer {
    /// The key of the order, and its name.
    pub(crate) order: String,
    pub(crate) article: &'static str,
    pub(crate) quantity: u64,
    /// Sends the order twice, under the same key.
    pub(crate) twice: bool,
    pub(crate) pays: Pays,
}

/// So many customers.
pub(crate) fn customers(count: usize, random: &mut Random) -> Vec<Customer> {
    let ways = [Pays::Once, Pays::Once, Pays::Again, Pays::UnderOtherKey, Pays::Declined, Pays::Never];
    let mut pick = |bound: usize| usize::try_from(random.below(bound as u64)).unwrap();
    let customer = |number| Customer {
        order: format!("order-{number}"),
        article: ARTICLES[pick(ARTICLES.len())].name,
        quantity: 1 + pick(3) as u64,
        twice: pick(4) == 0,
        pays: ways[pick(ways.len())],
    };
    (0..count).map(customer).collect()
}

/// Draws `count` of the first `answers`, in order: the shop is killed after each of them. Two may
/// be the same. Then it is killed as soon as it is there again.
pub(crate) fn kills(count: usize, answers: u64, random: &mut Random) -> Vec<u64> {
    let mut kills: Vec<u64> = (0..count).map(|_| 1 + random.below(answers)).collect();
    kills.sort_unstable();
    kills
}
