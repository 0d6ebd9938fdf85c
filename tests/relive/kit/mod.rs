//! The kit for tests of users' actors: what it promises to a test, and that it finds what is wrong.

mod actors;
mod advancing;
mod crashes;
mod quiet;
mod stores;
