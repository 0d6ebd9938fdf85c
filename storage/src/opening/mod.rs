//! Opens the store of a directory: finds its medium, and moves it to another medium or out of an
//! older format.
//!
//! Knows the store as a whole, and the media as [`directory_medium`] describes them; must not know
//! how a medium keeps its values, nor any medium that the program does not pass.

pub(crate) mod choice;
pub(crate) mod conversion;
pub(crate) mod directory_medium;
pub(crate) mod open_store;
pub(crate) mod options;
