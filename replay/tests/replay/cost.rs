//! What encoding with and without a check costs: prints figures, judges none. Without optimization
//! they say nothing.

use std::hint::black_box;

use relive_replay::payload::{
    Shapes, decode, encode_checked, encode_verified, verified_decode, with_encoded,
};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Clone, PartialEq, Debug)]
struct Transfer {
    from: u64,
    to: u64,
    amount: i64,
    note: Option<String>,
    urgent: bool,
}

fn print(what: &str, mut once: impl FnMut()) {
    const TIMES: u32 = 1_000_000;
    let best = (0..7).map(|_| {
        #[expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "a measurement")]
        let start = std::time::Instant::now();
        (0..TIMES).for_each(|_| once());
        start.elapsed() / TIMES
    });
    #[expect(clippy::print_stdout, reason = "that is what it is for")]
    {
        println!("{:>6} ns  {what}", best.min().unwrap_or_default().as_nanos());
    }
}

/// `cargo test --release -p relive-replay --test replay -- --ignored --nocapture cost`
#[test]
#[ignore = "prints figures"]
fn cost_of_a_small_message() {
    let message =
        Transfer { from: 17, to: 70_000, amount: -250, note: Some("rent".to_owned()), urgent: false };
    let shapes = Shapes::new();
    let bytes = with_encoded(&message, <[u8]>::to_vec).unwrap();
    let mut room = Vec::with_capacity(256);
    print("rmp-serde alone, to a buffer", || {
        room.clear();
        let mut serializer = rmp_serde::Serializer::new(&mut room).with_struct_map();
        black_box(&message).serialize(&mut serializer).unwrap();
        black_box(&room);
    });
    print("with_encoded", || {
        black_box(with_encoded(black_box(&message), <[u8]>::len).unwrap());
    });
    print("encode_checked, of a shape that was seen", || {
        black_box(encode_checked(black_box(&message), &shapes, <[u8]>::len).unwrap());
    });
    print("encode_verified", || {
        black_box(encode_verified(black_box(&message), <[u8]>::len).unwrap());
    });
    print("rmp-serde alone, decode", || {
        black_box(rmp_serde::from_slice::<Transfer>(black_box(&bytes)).unwrap());
    });
    print("decode", || {
        black_box(decode::<Transfer>(black_box(&bytes)).unwrap());
    });
    print("verified_decode", || {
        black_box(verified_decode(&message, black_box(&bytes)).unwrap());
    });
}
