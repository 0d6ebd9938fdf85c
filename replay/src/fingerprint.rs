//! A hash of everything that the `Serialize` of a value tells a serializer. It shows whether the
//! value came back unchanged. Knows no format; two values of one type have the same fingerprint
//! when a serializer can't tell them apart.
//!
//! Elements of sequences and maps count in any order, since those of hash tables have none.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{
    Error, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use twox_hash::XxHash64;

use crate::mix::{Kind, SEED, finish, mix, name};

/// The fingerprint of a value.
///
/// # Errors
/// What its `Serialize` says when it fails.
pub(crate) fn of<T: Serialize + ?Sized>(value: &T) -> Result<u64, String> {
    value.serialize(Hashing).map(finish).map_err(|failed| failed.0)
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Failed(String);

impl Error for Failed {
    fn custom<T: Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

type Hashed = Result<u64, Failed>;

fn hashed(kind: Kind, word: u64) -> Hashed {
    Ok(mix(mix(SEED, kind.word()), word))
}

fn wide(kind: Kind, value: u128) -> Hashed {
    hashed(kind, XxHash64::oneshot(SEED, &value.to_le_bytes()))
}

struct Hashing;

macro_rules! words {
    ($($method:ident($value:ident: $type:ty), $kind:ident, $word:expr;)*) => {
        $(
            fn $method(self, $value: $type) -> Hashed {
                hashed(Kind::$kind, $word)
            }
        )*
    };
}

impl Serializer for Hashing {
    type Ok = u64;
    type Error = Failed;
    type SerializeSeq = Unordered;
    type SerializeTuple = Ordered;
    type SerializeTupleStruct = Ordered;
    type SerializeTupleVariant = Ordered;
    type SerializeMap = Unordered;
    type SerializeStruct = Ordered;
    type SerializeStructVariant = Ordered;

    words! {
        serialize_bool(value: bool), Bool, u64::from(value);
        serialize_i8(value: i8), I8, i64::from(value).cast_unsigned();
        serialize_i16(value: i16), I16, i64::from(value).cast_unsigned();
        serialize_i32(value: i32), I32, i64::from(value).cast_unsigned();
        serialize_i64(value: i64), I64, value.cast_unsigned();
        serialize_u8(value: u8), U8, u64::from(value);
        serialize_u16(value: u16), U16, u64::from(value);
        serialize_u32(value: u32), U32, u64::from(value);
        serialize_u64(value: u64), U64, value;
        // One NaN is as good as another.
        serialize_f32(value: f32), F32, u64::from(if value.is_nan() { f32::NAN } else { value }.to_bits());
        serialize_f64(value: f64), F64, if value.is_nan() { f64::NAN } else { value }.to_bits();
        serialize_char(value: char), Char, u64::from(value);
        serialize_str(value: &str), Str, XxHash64::oneshot(SEED, value.as_bytes());
        serialize_bytes(value: &[u8]), Bytes, XxHash64::oneshot(SEED, value);
    }

    fn serialize_i128(self, value: i128) -> Hashed {
        wide(Kind::I128, value.cast_unsigned())
    }

    fn serialize_u128(self, value: u128) -> Hashed {
        wide(Kind::U128, value)
    }

    fn serialize_none(self) -> Hashed {
        hashed(Kind::None, 0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Hashed {
        hashed(Kind::Some, value.serialize(self)?)
    }

    fn serialize_unit(self) -> Hashed {
        hashed(Kind::Unit, 0)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Hashed {
        hashed(Kind::UnitStruct, 0)
    }

    fn serialize_unit_variant(self, _: &'static str, at: u32, variant: &'static str) -> Hashed {
        hashed(Kind::UnitVariant, Kind::UnitVariant.variant(at, variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Hashed {
        hashed(Kind::NewtypeStruct, value.serialize(self)?)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        at: u32,
        variant: &'static str,
        value: &T,
    ) -> Hashed {
        hashed(Kind::NewtypeVariant, mix(Kind::NewtypeVariant.variant(at, variant), value.serialize(self)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Unordered, Failed> {
        Ok(Unordered { kind: Kind::Seq, sum: 0, count: 0, key: 0 })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Unordered, Failed> {
        Ok(Unordered { kind: Kind::Map, sum: 0, count: 0, key: 0 })
    }

    fn serialize_tuple(self, len: usize) -> Result<Ordered, Failed> {
        Ok(Ordered { hash: mix(SEED, Kind::Tuple.of(len)) })
    }

    fn serialize_tuple_struct(self, _: &'static str, len: usize) -> Result<Ordered, Failed> {
        Ok(Ordered { hash: mix(SEED, Kind::TupleStruct.of(len)) })
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        at: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Ordered, Failed> {
        Ok(Ordered { hash: mix(SEED, Kind::TupleVariant.variant(at, variant)) })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Ordered, Failed> {
        Ok(Ordered { hash: mix(SEED, Kind::Struct.word()) })
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        at: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Ordered, Failed> {
        Ok(Ordered { hash: mix(SEED, Kind::StructVariant.variant(at, variant)) })
    }

    /// As MessagePack answers: some types serialize differently for human readers.
    fn is_human_readable(&self) -> bool {
        false
    }
}

struct Unordered {
    kind: Kind,
    sum: u64,
    count: u64,
    key: u64,
}

impl Unordered {
    fn add(&mut self, hash: u64) {
        // A sum is the same in each order, and unlike an exclusive or it keeps pairs of equals.
        self.sum = self.sum.wrapping_add(finish(hash));
        self.count += 1;
    }
}

impl SerializeSeq for Unordered {
    type Ok = u64;
    type Error = Failed;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.add(value.serialize(Hashing)?);
        Ok(())
    }

    fn end(self) -> Hashed {
        hashed(self.kind, mix(self.sum, self.count))
    }
}

impl SerializeMap for Unordered {
    type Ok = u64;
    type Error = Failed;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        self.key = key.serialize(Hashing)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        // Together: two values that change places under their keys make another map.
        self.add(mix(self.key, value.serialize(Hashing)?));
        Ok(())
    }

    fn end(self) -> Hashed {
        hashed(self.kind, mix(self.sum, self.count))
    }
}

struct Ordered {
    hash: u64,
}

macro_rules! unnamed_fields {
    ($($trait:ident, $method:ident;)*) => {
        $(
            impl $trait for Ordered {
                type Ok = u64;
                type Error = Failed;

                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                    self.hash = mix(self.hash, value.serialize(Hashing)?);
                    Ok(())
                }

                fn end(self) -> Hashed {
                    Ok(self.hash)
                }
            }
        )*
    };
}

unnamed_fields! {
    SerializeTuple, serialize_element;
    SerializeTupleStruct, serialize_field;
    SerializeTupleVariant, serialize_field;
}

macro_rules! named_fields {
    ($($trait:ident;)*) => {
        $(
            impl $trait for Ordered {
                type Ok = u64;
                type Error = Failed;

                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    key: &'static str,
                    value: &T,
                ) -> Result<(), Failed> {
                    self.hash = mix(mix(self.hash, name(key)), value.serialize(Hashing)?);
                    Ok(())
                }

                fn skip_field(&mut self, key: &'static str) -> Result<(), Failed> {
                    self.hash = mix(mix(self.hash, name(key)), Kind::Skipped.word());
                    Ok(())
                }

                fn end(self) -> Hashed {
                    Ok(self.hash)
                }
            }
        )*
    };
}

named_fields! {
    SerializeStruct;
    SerializeStructVariant;
}
