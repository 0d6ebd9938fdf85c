//! Values in sled's tree: cut into parts, which stand behind fences, so that sled writes each about
//! once.
//!
//! Knows keys, parts and where each stream begins and ends; must not know the directory, nor when
//! anything is synced.
//!
//! | module | what it knows |
//! | --- | --- |
//! | `key` | the keys of parts and fences |
//! | `value` | how a value is cut into parts and put together again |
//! | `fences_ahead`, `streams` | which fences a stream has ahead; where each stream begins and ends |
//! | `values` | all of it in sled's tree |

pub(crate) mod fences_ahead;
pub(crate) mod key;
pub(crate) mod streams;
pub(crate) mod value;
pub(crate) mod values;
