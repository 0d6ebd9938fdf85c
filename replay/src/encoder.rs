//! Encodes with a bound on the depth of a value and with a hash of its shape: a layer around the
//! serializer of MessagePack that passes every call on. Knows the calls, not the bytes that they
//! write.

use std::any::type_name;
use std::io::Write;

use serde::Serialize;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::depth::too_deep;
use crate::mix::{Kind, mix, name};
use crate::track::{Among, Depth, Shape, Track};

/// Writes a value as MessagePack, and returns its shape.
///
/// # Errors
/// A sentence, when its `Serialize` fails or it is nested too deeply.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, writer: &mut impl Write) -> Result<Shape, String> {
    let mut messagepack = rmp_serde::Serializer::new(writer).with_struct_map();
    let track = Track::new();
    let tracking = Tracking { inner: &mut messagepack, track: &track, depth: Depth::default(), named: false };
    let written = value.serialize(tracking);
    // Ahead of the outcome: a type may have swallowed the refusal and have written something else.
    let shape = track.shape().ok_or_else(too_deep)?;
    written.map_err(|error| error.to_string())?;
    Ok(shape)
}

/// Whether a field, key or entry is a name and not a value: the tags of enums and the keys of
/// flattened structs are passed as `str`, which no field of a type can own.
#[inline(always)]
fn is_name<T: ?Sized>() -> bool {
    matches!(type_name::<T>(), "str" | "&str")
}

/// A value on its way to a serializer whose calls are tracked.
struct Tracked<'a, T: ?Sized> {
    value: &'a T,
    track: &'a Track,
    depth: Depth,
    named: bool,
}

impl<T: Serialize + ?Sized> Serialize for Tracked<'_, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (track, depth, named) = (self.track, self.depth, self.named);
        self.value.serialize(Tracking { inner: serializer, track, depth, named })
    }
}

struct Tracking<'t, S> {
    inner: S,
    track: &'t Track,
    depth: Depth,
    /// A text that comes now is a name.
    named: bool,
}

impl<'t, S: Serializer> Tracking<'t, S> {
    /// The fields, `levels` arrays and maps deeper.
    #[inline(always)]
    fn fields(&self, levels: usize) -> Result<Inside<'t>, S::Error> {
        Ok(Inside { track: self.track, depth: self.depth.inside(levels, self.track)? })
    }
}

macro_rules! scalars {
    ($($method:ident($type:ty), $kind:ident;)*) => {
        $(
            #[inline]
            fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
                self.track.note(Kind::$kind.word());
                self.inner.$method(value)
            }
        )*
    };
}

macro_rules! integers {
    ($($method:ident($type:ty), $kind:ident, $magnitude:expr;)*) => {
        $(
            #[inline]
            fn $method(self, value: $type) -> Result<S::Ok, S::Error> {
                let (negative, magnitude) = $magnitude(value);
                self.track.note_integer(Kind::$kind, negative, u64::BITS - magnitude.leading_zeros());
                self.inner.$method(value)
            }
        )*
    };
}

/// Whether it is negative, and a magnitude of the same width.
#[inline(always)]
fn signed(value: impl Into<i64>) -> (bool, u64) {
    let value = value.into();
    (value < 0, (value ^ (value >> 63)).cast_unsigned())
}

#[inline(always)]
fn unsigned(value: impl Into<u64>) -> (bool, u64) {
    (false, value.into())
}

impl<'t, S: Serializer> Serializer for Tracking<'t, S> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Many<'t, S::SerializeSeq>;
    type SerializeTuple = Fields<'t, S::SerializeTuple>;
    type SerializeTupleStruct = Fields<'t, S::SerializeTupleStruct>;
    type SerializeTupleVariant = Fields<'t, S::SerializeTupleVariant>;
    type SerializeMap = Many<'t, S::SerializeMap>;
    type SerializeStruct = Fields<'t, S::SerializeStruct>;
    type SerializeStructVariant = Fields<'t, S::SerializeStructVariant>;

    integers! {
        serialize_i8(i8), I8, signed;
        serialize_i16(i16), I16, signed;
        serialize_i32(i32), I32, signed;
        serialize_i64(i64), I64, signed;
        serialize_u8(u8), U8, unsigned;
        serialize_u16(u16), U16, unsigned;
        serialize_u32(u32), U32, unsigned;
        serialize_u64(u64), U64, unsigned;
    }

    scalars! {
        serialize_bool(bool), Bool;
        serialize_f32(f32), F32;
        serialize_f64(f64), F64;
        serialize_char(char), Char;
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::I128.of(usize::from(i64::try_from(value).is_ok())));
        self.inner.serialize_i128(value)
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::U128.of(usize::from(u64::try_from(value).is_ok())));
        self.inner.serialize_u128(value)
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<S::Ok, S::Error> {
        let told = if self.named { name(value) } else { u64::from(value.is_empty()) };
        self.track.note(told << 8 | Kind::Str.word());
        self.inner.serialize_str(value)
    }

    #[inline]
    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::Bytes.of(usize::from(value.is_empty())));
        self.inner.serialize_bytes(value)
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::None.word());
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::Some.word());
        let (track, named) = (self.track, self.named);
        let depth = self.depth.below(track)?;
        self.inner.serialize_some(&Tracked { value, track, depth, named })
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::Unit.word());
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::UnitStruct.word());
        // It is an empty array.
        self.fields(1)?;
        self.inner.serialize_unit_struct(name)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
    ) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::UnitVariant.variant(at, variant));
        self.inner.serialize_unit_variant(name, at, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::NewtypeStruct.word());
        let (track, named) = (self.track, self.named);
        let depth = self.depth.below(track)?;
        self.inner.serialize_newtype_struct(name, &Tracked { value, track, depth, named })
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.track.note(Kind::NewtypeVariant.variant(at, variant));
        let value = self.fields(1)?.tracked(value);
        self.inner.serialize_newtype_variant(name, at, variant, &value)
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        self.track.note(Kind::Seq.word());
        let (inside, among) = (self.fields(1)?, Among::new(self.track));
        Ok(Many { inside, among, inner: self.inner.serialize_seq(len)? })
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        self.track.note(Kind::Map.word());
        let (inside, among) = (self.fields(1)?, Among::new(self.track));
        Ok(Many { inside, among, inner: self.inner.serialize_map(len)? })
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.track.note(Kind::Tuple.of(len));
        Ok(Fields { inside: self.fields(1)?, inner: self.inner.serialize_tuple(len)? })
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.track.note(Kind::TupleStruct.of(len));
        Ok(Fields { inside: self.fields(1)?, inner: self.inner.serialize_tuple_struct(name, len)? })
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.track.note(Kind::TupleVariant.variant(at, variant));
        // A map from the variant to an array.
        let inside = self.fields(2)?;
        Ok(Fields { inside, inner: self.inner.serialize_tuple_variant(name, at, variant, len)? })
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.track.note(Kind::Struct.of(len));
        Ok(Fields { inside: self.fields(1)?, inner: self.inner.serialize_struct(name, len)? })
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        at: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.track.note(mix(Kind::StructVariant.variant(at, variant), len as u64));
        // A map from the variant to a map.
        let inside = self.fields(2)?;
        Ok(Fields { inside, inner: self.inner.serialize_struct_variant(name, at, variant, len)? })
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

#[derive(Clone, Copy)]
struct Inside<'t> {
    track: &'t Track,
    depth: Depth,
}

impl<'t> Inside<'t> {
    #[inline(always)]
    fn tracked<'a, T: ?Sized>(&self, value: &'a T) -> Tracked<'a, T>
    where
        't: 'a,
    {
        Tracked { value, track: self.track, depth: self.depth, named: is_name::<T>() }
    }
}

/// The parts of a tuple or struct, which have an order.
struct Fields<'t, C> {
    inside: Inside<'t>,
    inner: C,
}

macro_rules! unnamed_fields {
    ($($trait:ident, $method:ident;)*) => {
        $(
            impl<C: $trait> $trait for Fields<'_, C> {
                type Ok = C::Ok;
                type Error = C::Error;

                #[inline]
                fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
                    self.inner.$method(&self.inside.tracked(value))
                }

                #[inline]
                fn end(self) -> Result<C::Ok, C::Error> {
                    self.inner.end()
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
            impl<C: $trait> $trait for Fields<'_, C> {
                type Ok = C::Ok;
                type Error = C::Error;

                #[inline]
                fn serialize_field<T: Serialize + ?Sized>(
                    &mut self,
                    key: &'static str,
                    value: &T,
                ) -> Result<(), C::Error> {
                    self.inside.track.note(name(key));
                    self.inner.serialize_field(key, &self.inside.tracked(value))
                }

                fn skip_field(&mut self, key: &'static str) -> Result<(), C::Error> {
                    self.inside.track.note(mix(name(key), Kind::Skipped.word()));
                    self.inner.skip_field(key)
                }

                #[inline]
                fn end(self) -> Result<C::Ok, C::Error> {
                    self.inner.end()
                }
            }
        )*
    };
}

named_fields! {
    SerializeStruct;
    SerializeStructVariant;
}

/// The elements of a sequence or the entries of a map.
struct Many<'t, C> {
    inside: Inside<'t>,
    among: Among<'t>,
    inner: C,
}

impl<C: SerializeSeq> SerializeSeq for Many<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.among.begin();
        self.inner.serialize_element(&self.inside.tracked(value))?;
        self.among.add();
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.among.end();
        self.inner.end()
    }
}

impl<C: SerializeMap> SerializeMap for Many<'_, C> {
    type Ok = C::Ok;
    type Error = C::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), C::Error> {
        self.among.begin();
        self.inner.serialize_key(&self.inside.tracked(key))
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), C::Error> {
        self.inner.serialize_value(&self.inside.tracked(value))?;
        self.among.add();
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<C::Ok, C::Error> {
        self.among.end();
        self.inner.end()
    }
}
