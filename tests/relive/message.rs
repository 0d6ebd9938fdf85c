//! Messages of the tests' actors.

/// A message type with its name and its reply.
macro_rules! message {
    ($seen:vis $type:ident $fields:tt, $name:literal, $reply:ty) => {
        #[derive(serde::Serialize, serde::Deserialize, Clone, Debug, PartialEq)]
        $seen struct $type $fields

        impl relive::Message for $type {
            const NAME: &'static str = $name;
            type Reply = $reply;
        }
    };
}
