//! What a row of the matrix of shapes is, and how it is found out: a value to bytes and back, in
//! relive's codec and in others. Knows no shape.

use std::fmt::Debug;

use relive_replay::payload::{Shapes, decode, encode, encode_checked};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What becomes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Kept,
    /// It comes back, as something else.
    Changed,
    /// It does not encode, or its bytes do not decode.
    Fails,
}

/// What relive does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Kept,
    Refused,
    /// It comes back as something else, and nobody was told: `serde` isn't.
    Untold,
}

pub(crate) struct Row {
    pub(crate) group: &'static str,
    pub(crate) shape: &'static str,
    pub(crate) verdict: Verdict,
    /// As configured, compact, for humans; CBOR, JSON, postcard.
    pub(crate) fates: [Fate; 6],
    /// What relive says when it refuses.
    pub(crate) reason: String,
    /// What to write instead.
    pub(crate) instead: &'static str,
}

pub(crate) struct Matrix {
    group: &'static str,
    pub(crate) rows: Vec<Row>,
}

impl Matrix {
    pub(crate) fn new() -> Self {
        Self { group: "", rows: Vec::new() }
    }

    pub(crate) fn group(&mut self, group: &'static str) {
        self.group = group;
    }

    pub(crate) fn try_all<T>(&mut self, shape: &'static str, values: Vec<T>)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.try_by(shape, "", values, T::eq);
    }

    pub(crate) fn try_one<T>(&mut self, shape: &'static str, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.try_by(shape, "", vec![value], T::eq);
    }

    pub(crate) fn instead_of<T>(&mut self, shape: &'static str, instead: &'static str, value: T)
    where
        T: Serialize + DeserializeOwned + PartialEq + Debug,
    {
        self.try_by(shape, instead, vec![value], T::eq);
    }

    /// Tries some values of one shape, which have to fare alike.
    pub(crate) fn try_by<T>(
        &mut self,
        shape: &'static str,
        instead: &'static str,
        values: Vec<T>,
        same: impl Fn(&T, &T) -> bool,
    ) where
        T: Serialize + DeserializeOwned + Debug,
    {
        let mut rows = values.iter().map(|value| {
            let (verdict, reason) = judge(value, &same);
            let fates = [
                fate(value, encode(value).ok(), |bytes| decode(bytes).ok(), &same),
                fate(value, rmp_serde::to_vec(value).ok(), |bytes| rmp_serde::from_slice(bytes).ok(), &same),
                fate(value, for_humans(value), from_humans, &same),
                fate(value, cbor(value), |bytes| ciborium::from_reader(bytes).ok(), &same),
                fate(
                    value,
                    serde_json::to_vec(value).ok(),
                    |bytes| serde_json::from_slice(bytes).ok(),
                    &same,
                ),
                fate(
                    value,
                    postcard::to_allocvec(value).ok(),
                    |bytes| postcard::from_bytes(bytes).ok(),
                    &same,
                ),
            ];
            Row { group: self.group, shape, verdict, fates, reason, instead }
        });
        let first = rows.next().unwrap();
        for (row, value) in rows.zip(values.iter().skip(1)) {
            assert_eq!(row.verdict, first.verdict, "{shape}: {value:?} fares otherwise: {}", row.reason);
        }
        drop(values);
        self.rows.push(first);
    }
}

fn judge<T>(value: &T, same: &impl Fn(&T, &T) -> bool) -> (Verdict, String)
where
    T: Serialize + DeserializeOwned + Debug,
{
    let shapes = Shapes::new();
    match encode_checked(value, &shapes, <[u8]>::to_vec) {
        Err(error) => {
            let again = encode_checked(value, &shapes, |_| ()).unwrap_err();
            assert_eq!(again, error, "what was refused is refused again");
            (Verdict::Refused, error.to_string())
        }
        Ok(bytes) => {
            assert_eq!(bytes, encode(value).unwrap(), "checking changes no bytes");
            let back: T = decode(&bytes).unwrap();
            (if same(value, &back) { Verdict::Kept } else { Verdict::Untold }, String::new())
        }
    }
}

fn fate<T>(
    value: &T,
    bytes: Option<Vec<u8>>,
    back: impl Fn(&[u8]) -> Option<T>,
    same: &impl Fn(&T, &T) -> bool,
) -> Fate {
    match bytes.and_then(|bytes| back(&bytes)) {
        Some(back) if same(value, &back) => Fate::Kept,
        Some(_) => Fate::Changed,
        None => Fate::Fails,
    }
}

fn for_humans<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut serializer = rmp_serde::Serializer::new(&mut bytes).with_struct_map().with_human_readable();
    value.serialize(&mut serializer).ok()?;
    Some(bytes)
}

fn from_humans<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    T::deserialize(&mut rmp_serde::Deserializer::from_read_ref(bytes).with_human_readable()).ok()
}

fn cbor<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).ok()?;
    Some(bytes)
}

/// The matrix for `docs/codec.md`.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| shape | relive | MessagePack, as configured | compact | for humans | CBOR | JSON | postcard | instead |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    let mut group = "";
    for row in rows {
        if row.group != group {
            group = row.group;
            text += &format!("| **{group}** | | | | | | | | |\n");
        }
        let verdict = match row.verdict {
            Verdict::Kept => "kept",
            Verdict::Refused => "**refused**",
            Verdict::Untold => "*not seen*",
        };
        let fates = row.fates.map(|fate| match fate {
            Fate::Kept => "kept",
            Fate::Changed => "changed",
            Fate::Fails => "fails",
        });
        let instead = if row.verdict == Verdict::Kept { "" } else { row.instead };
        text += &format!("| {} | {verdict} | {} | {instead} |\n", row.shape, fates.join(" | "));
    }
    for (name, at) in
        [("as configured", 0), ("compact", 1), ("for humans", 2), ("CBOR", 3), ("JSON", 4), ("postcard", 5)]
    {
        let count = |fate| rows.iter().filter(|row| row.fates[at] == fate).count();
        let (kept, changed, fails) = (count(Fate::Kept), count(Fate::Changed), count(Fate::Fails));
        text += &format!(
            "{}{name}: {kept} kept, {changed} changed, {fails} fail",
            if at == 0 { format!("\nOf {} shapes, ", rows.len()) } else { "; ".to_owned() }
        );
    }
    text + ".\n"
}
