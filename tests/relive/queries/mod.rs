//! Queries, from outside and of handlers: what an answer shows, what it never shows, and that
//! nobody waits for ever for one.

mod bounds;
mod crashes;
mod desk;
mod ends;
mod handlers;
mod shown;
mod teller;
