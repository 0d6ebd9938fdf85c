//! Sequences, tuples, maps with keys of all kinds, and what nests.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, LinkedList, VecDeque};

use serde::{Deserialize, Serialize};

use super::matrix::Matrix;

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
enum Side {
    Left,
    Right,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, PartialOrd, Ord, Clone)]
enum Key {
    Number(u32),
    Named { name: String },
    Any,
}

#[derive(Serialize, Deserialize, Debug, PartialEq, Eq, PartialOrd, Ord, Clone, Copy)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Tree {
    value: u64,
    below: Vec<Tree>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Cons {
    value: u8,
    next: Option<Box<Cons>>,
}

#[derive(Serialize, Deserialize, Debug, PartialEq)]
enum Chain {
    End,
    Link(Box<Chain>),
}

/// Only `Option`s and newtypes deep: nothing of it is in the bytes.
#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Thin(Option<Box<Thin>>);

const FLAT: &str = "a `Vec` of the elements";

pub(super) fn fill(matrix: &mut Matrix) {
    matrix.group("sequences and tuples");
    sequences(matrix);
    matrix.group("maps and sets");
    maps(matrix);
    matrix.group("nesting");
    nesting(matrix);
}

fn sequences(matrix: &mut Matrix) {
    matrix.try_one("`(u8,)`", (7_u8,));
    matrix.try_one("`(u8, String, Option<i64>)`", (7_u8, "text".to_owned(), Some(-1_i64)));
    matrix.try_one("`[u16; 3]`", [1_u16, 256, 65_535]);
    matrix.try_one("`[u8; 0]`", [0_u8; 0]);
    matrix.try_one("`[u8; 32]`", [200_u8; 32]);
    matrix.try_one("`[Option<u8>; 3]`", [Some(1_u8), None, Some(3)]);
    matrix.try_all("`Vec<u64>`", vec![Vec::new(), vec![1], (0..70_000).collect()]);
    matrix.try_one("`Vec<()>`", vec![(), (), ()]);
    matrix.try_one("`Vec<u128>`", vec![0, u128::MAX]);
    matrix.try_one("`Vec<Vec<String>>`", vec![vec!["a".to_owned()], vec![]]);
    matrix.try_one("`VecDeque`, `LinkedList`", (VecDeque::from([3, 1, 2]), LinkedList::from([2, 1])));
    matrix.try_by("`BinaryHeap`", "", vec![BinaryHeap::from([3, 1, 4, 1, 5, 9, 2, 6])], |a, b| {
        a.clone().into_sorted_vec() == b.clone().into_sorted_vec()
    });
    matrix.try_one("`Box<[u32]>`", vec![1_u32, 2].into_boxed_slice());
}

fn maps(matrix: &mut Matrix) {
    matrix.try_all(
        "`BTreeMap<String, u64>`",
        vec![BTreeMap::new(), BTreeMap::from([("a".to_owned(), 1_u64), (String::new(), 2)])],
    );
    matrix.try_one("`BTreeMap<u64, String>`", BTreeMap::from([(u64::MAX, "text".to_owned())]));
    matrix.try_one("`BTreeMap<i8, _>`", BTreeMap::from([(-1_i8, 1), (1, 2)]));
    matrix.try_one("`BTreeMap<u128, _>`", BTreeMap::from([(u128::MAX, 1_u8)]));
    matrix.try_one("`BTreeMap<bool, _>`", BTreeMap::from([(false, 1), (true, 2)]));
    matrix.try_one("`BTreeMap<char, _>`", BTreeMap::from([('a', 1)]));
    matrix.try_one("`BTreeMap<(u8, String), _>`", BTreeMap::from([((1_u8, "a".to_owned()), 1)]));
    matrix.try_one(
        "`BTreeMap<Side, _>`, of unit variants",
        BTreeMap::from([(Side::Left, 1), (Side::Right, 2)]),
    );
    let keys = [Key::Number(7), Key::Named { name: "a".to_owned() }, Key::Any];
    matrix.try_one("`BTreeMap<Key, _>`, of any variants", BTreeMap::from(keys.map(|key| (key, 1))));
    matrix.try_one("`BTreeMap<Point, _>`, of structs", BTreeMap::from([(Point { x: 1, y: -1 }, 1)]));
    matrix.try_one("`BTreeMap<Option<u8>, _>`", BTreeMap::from([(None, 1), (Some(1_u8), 2)]));
    matrix.try_one("`BTreeMap<(), _>`", BTreeMap::from([((), 1)]));
    matrix.try_one("`BTreeMap<Vec<u8>, _>`", BTreeMap::from([(vec![1_u8], 1)]));
    matrix.try_one("`BTreeMap<_, Option<u8>>`", BTreeMap::from([(1, None), (2, Some(1_u8))]));
    matrix.instead_of(
        "`BTreeMap<_, Option<()>>`",
        "`BTreeMap<_, bool>`",
        BTreeMap::from([(1, None), (2, Some(()))]),
    );
    matrix.try_one("`BTreeMap<_, BTreeMap<_, _>>`", BTreeMap::from([(1, BTreeMap::from([(2, 3)]))]));
    matrix.try_one("`BTreeSet<Side>`", BTreeSet::from([Side::Left, Side::Right]));
    #[expect(clippy::disallowed_types, reason = "a value to encode, in whatever order")]
    {
        use std::collections::{HashMap, HashSet};
        matrix.try_one(
            "`HashMap<u64, String>`",
            HashMap::<_, _>::from_iter((0..1000).map(|n| (n, n.to_string()))),
        );
        let inner = |n: u64| HashSet::<u64>::from_iter(n..n + 100);
        matrix.try_one("`HashSet<u64>`", inner(0));
        matrix.try_one(
            "`HashMap<String, HashSet<u64>>`",
            HashMap::<_, _>::from_iter((0..50).map(|n| (n.to_string(), inner(n)))),
        );
    }
}

fn nesting(matrix: &mut Matrix) {
    let leaf = || Tree { value: 1, below: Vec::new() };
    matrix.try_one("a struct in `Vec`s of itself", Tree { value: 1, below: vec![leaf(), leaf()] });
    let list = |length: u32| (0..length).fold(None, |next, _| Some(Box::new(Cons { value: 1, next })));
    matrix.try_one("a list of 64 structs in each other", list(64));
    matrix.instead_of("a list of 65 structs in each other", FLAT, list(65));
    matrix.instead_of("a list of 100 structs in each other", FLAT, list(100));
    let chain = |length: u32| (0..length).fold(Chain::End, |next, _| Chain::Link(Box::new(next)));
    matrix.try_one("64 variants in each other", chain(64));
    matrix.instead_of("65 variants in each other", FLAT, chain(65));
    matrix.try_one("`struct Thin(Option<Box<Thin>>)`, of nothing", Thin(None));
    let thin = Thin(Some(Box::new(Thin(Some(Box::new(Thin(None)))))));
    matrix.instead_of("`struct Thin(Option<Box<Thin>>)`, of itself", "a number of the levels", thin);
}
