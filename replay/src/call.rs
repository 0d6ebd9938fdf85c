//! One call of a handler: its message out of bytes, its reply as bytes. Knows no names of messages,
//! and not where events come from.

use std::pin::Pin;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::payload::{CodecError, Shapes, decode, encode_checked};
use crate::{Actor, Context, Handle, Message};

/// The future of one handler call; returns the encoded reply of an ask.
pub(crate) type Handling<'a> = Pin<Box<dyn Future<Output = Result<Option<Bytes>, CodecError>> + Send + 'a>>;

pub(crate) type Call<A> = for<'a, 'c> fn(
    &'a mut A,
    &[u8],
    Option<&'a Shapes>,
    &'a mut Context<'c>,
) -> Result<Handling<'a>, CodecError>;

/// Decodes the message and boxes the call: the one allocation of a delivery in this crate.
pub(crate) fn call<'a, A, M>(
    actor: &'a mut A,
    payload: &[u8],
    reply_shapes: Option<&'a Shapes>,
    cx: &'a mut Context<'_>,
) -> Result<Handling<'a>, CodecError>
where
    A: Handle<M>,
    M: Message,
{
    // Outside of the future: bytes that do not decode stop the actor before the handler begins.
    let message: M = decode(payload)?;
    Ok(Box::pin(async move {
        let reply = actor.handle(message, cx).await;
        encode_reply(&reply, reply_shapes)
    }))
}

/// As [`call`], for a handler whose changes count only when it returns `Ok`.
pub(crate) fn call_or_undo<'a, A, M>(
    actor: &'a mut A,
    payload: &[u8],
    reply_shapes: Option<&'a Shapes>,
    cx: &'a mut Context<'_>,
) -> Result<Handling<'a>, CodecError>
where
    A: Handle<M> + Clone,
    M: Message,
    M::Reply: Fallible,
{
    let message: M = decode(payload)?;
    Ok(Box::pin(async move {
        let reply = handle_or_undo(actor, message, cx).await;
        encode_reply(&reply, reply_shapes)
    }))
}

fn encode_reply<R: Serialize + DeserializeOwned>(
    reply: &R,
    shapes: Option<&Shapes>,
) -> Result<Option<Bytes>, CodecError> {
    match shapes {
        Some(shapes) => encode_checked(reply, shapes, Bytes::copy_from_slice).map(Some),
        None => Ok(None),
    }
}

/// A reply that says whether its handler has failed: any [`Result`].
pub trait Fallible: sealed::Sealed {
    /// Whether it is an error.
    #[doc(hidden)]
    fn has_failed(&self) -> bool;
}

impl<T, E> Fallible for Result<T, E> {
    fn has_failed(&self) -> bool {
        self.is_err()
    }
}

mod sealed {
    pub trait Sealed {}

    impl<T, E> Sealed for Result<T, E> {}
}

/// Handles a message. When the reply is an error, the actor is as it was before, and so is what the
/// delivery has asked for since its last request.
pub(crate) async fn handle_or_undo<A, M>(actor: &mut A, message: M, cx: &mut Context<'_>) -> M::Reply
where
    A: Actor + Handle<M> + Clone,
    M: Message,
    M::Reply: Fallible,
{
    let before = actor.clone();
    let reply = actor.handle(message, &mut *cx).await;
    if reply.has_failed() {
        *actor = before;
        cx.undo();
    }
    reply
}
