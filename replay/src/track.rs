//! What an encoding finds out about a value: its shape and its depth. Knows hashes and counts, and
//! not who calls.
//!
//! The *shape* of a value is the structure of the calls to its serializer without the values: which
//! variants, which fields, `None` or `Some`. MessagePack loses values by their shape, so a shape
//! that came back whole once will do so again. Elements of sequences and maps count as a set of
//! shapes, so that a new length makes no new shape.
//!
//! # Source
//! The filters of shapes and widths are Bloom filters: Bloom, *Space/Time Trade-offs in Hash Coding
//! with Allowable Errors*, Communications of the ACM 13(7), 1970.

use std::cell::Cell;

use serde::ser::Error;

use crate::depth::{LAYERS_MAX, NESTING_DEPTH_MAX, too_deep};
use crate::mix::{Kind, SEED, finish, mix};

/// The structure of a value without its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The hash of the calls.
    pub(crate) calls: u64,
    /// How wide the integers are: a filter with a bit in each word for a place and a width.
    /// Untagged variants may differ in nothing else.
    pub(crate) widths: [u64; 2],
}

/// The findings of one encoding. They stand beside the serializers, since those of MessagePack make
/// new ones of themselves.
pub(crate) struct Track {
    shape: Cell<u64>,
    widths: [Cell<u64>; 2],
    too_deep: Cell<bool>,
}

impl Track {
    pub(crate) fn new() -> Self {
        let widths = [Cell::new(0), Cell::new(0)];
        Self { shape: Cell::new(SEED), widths, too_deep: Cell::new(false) }
    }

    /// The shape of all noted calls; `None` when the value went too deep, since the `Serialize` of
    /// a type may have swallowed that error.
    pub(crate) fn shape(self) -> Option<Shape> {
        let widths = self.widths.map(Cell::into_inner);
        (!self.too_deep.get()).then(|| Shape { calls: finish(self.shape.get()), widths })
    }

    /// Notes a call.
    #[inline(always)]
    pub(crate) fn note(&self, word: u64) {
        self.shape.set(mix(self.shape.get(), word));
    }

    /// Notes an integer with its width in bits.
    #[inline(always)]
    pub(crate) fn note_integer(&self, kind: Kind, negative: bool, bits: u32) {
        self.note(kind.word());
        // The classes end where a type of 8, 16, 32 or 64 bits, signed or not, is full. The mask
        // spares the check of the index.
        let width = WIDTHS[bits as usize & 127] | u8::from(negative) << 3;
        let place = mix(self.shape.get(), u64::from(width));
        self.widths[0].set(self.widths[0].get() | 1 << (place >> 58));
        self.widths[1].set(self.widths[1].get() | 1 << ((place >> 52) & 63));
    }

    #[cold]
    fn refuse<E: Error>(&self) -> E {
        self.too_deep.set(true);
        E::custom(too_deep())
    }
}

/// Which class of widths a number of bits belongs to.
const WIDTHS: [u8; 128] = {
    let mut widths = [7; 128];
    let mut bits = 0;
    while bits < 64 {
        widths[bits] = match bits {
            0..=7 => 0,
            8 => 1,
            9..=15 => 2,
            16 => 3,
            17..=31 => 4,
            32 => 5,
            _ => 6,
        };
        bits += 1;
    }
    widths
};

/// Where in a value a call is made.
#[derive(Clone, Copy, Default)]
pub(crate) struct Depth {
    /// Arrays and maps around it in the bytes.
    levels: usize,
    /// `Some` and newtypes around it, which the bytes don't show.
    layers: usize,
}

impl Depth {
    /// `levels` arrays and maps deeper.
    #[inline(always)]
    pub(crate) fn inside<E: Error>(self, levels: usize, track: &Track) -> Result<Self, E> {
        let levels = self.levels + levels;
        if levels > NESTING_DEPTH_MAX { Err(track.refuse()) } else { Ok(Self { levels, ..self }) }
    }

    /// Behind a `Some` or in a newtype.
    #[inline(always)]
    pub(crate) fn below<E: Error>(self, track: &Track) -> Result<Self, E> {
        let layers = self.layers + 1;
        if layers > LAYERS_MAX { Err(track.refuse()) } else { Ok(Self { layers, ..self }) }
    }
}

/// The set of the shapes of elements: a filter in three words, each with a bit of the hash.
pub(crate) struct Among<'t> {
    track: &'t Track,
    /// The hash of what came before.
    outer: u64,
    shapes: [u64; 3],
    last: u64,
}

impl<'t> Among<'t> {
    #[inline(always)]
    pub(crate) fn new(track: &'t Track) -> Self {
        Self { track, outer: track.shape.get(), shapes: [0; 3], last: 0 }
    }

    /// An element comes.
    #[inline(always)]
    pub(crate) fn begin(&self) {
        self.track.shape.set(SEED);
    }

    /// It has come.
    #[inline(always)]
    pub(crate) fn add(&mut self) {
        // Elements have a hash of their own, since neither their number nor their order counts.
        let shape = self.track.shape.get();
        // Most elements have the shape of the one before.
        if shape != self.last {
            self.last = shape;
            let bits = finish(shape);
            for (at, word) in self.shapes.iter_mut().enumerate() {
                *word |= 1 << ((bits >> (6 * at)) & 63);
            }
        }
    }

    /// No more come.
    #[inline(always)]
    pub(crate) fn end(&self) {
        let shape = self.shapes.iter().fold(self.outer, |hash, word| mix(hash, *word));
        self.track.shape.set(shape);
    }
}
