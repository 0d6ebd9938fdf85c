//! The first superblock of a store that a conversion makes anew on another medium: it begins where
//! the old one does. Knows nothing of the content of the old one.

use super::superblock::Superblock;
use crate::contract::error::StoreError;
use crate::id::position::{Epoch, Lsn};
use crate::medium::Medium;

/// Writes the superblock of a store on an empty medium: an empty log that begins at `start`, after
/// the incarnation `epoch`. Synced. Puts raise the highest number of a checkpoint.
///
/// # Errors
/// [`StoreError::Misuse`] when the medium is not empty; the medium's.
pub(crate) fn begin(medium: &dyn Medium, start: Lsn, epoch: Epoch) -> Result<(), StoreError> {
    if !medium.superblock()?.is_empty() || !medium.streams()?.is_empty() {
        let what = "a store was to begin on a medium that holds one".to_owned();
        return Err(StoreError::Misuse { what });
    }
    let superblock = Superblock { start, acknowledged: start, epoch, ..Superblock::new() };
    medium.write_superblock(&superblock.encode(), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::log::Log;
    use crate::layered::{LayeredOptions, LayeredStore};
    use crate::medium::memory::MemoryMedium;
    use crate::scan::scan;
    use crate::testing::conformance::block;

    #[test]
    fn a_store_goes_on_from_where_it_is_told_to_begin() {
        let medium = MemoryMedium::new();
        begin(&medium, Lsn::new(70), Epoch::new(4)).unwrap();
        assert!(matches!(begin(&medium, Lsn::new(7), Epoch::new(4)), Err(StoreError::Misuse { .. })));
        let opened = medium.clone();
        let open = move || Ok(Box::new(opened) as Box<dyn Medium>);
        let store = LayeredStore::open(open, &LayeredOptions::default()).unwrap();
        assert!(matches!(store.append(&block(69, 1, 69, 4)), Err(StoreError::Misuse { .. })));
        store.append(&block(70, 2, 70, 4)).unwrap();
        store.sync().unwrap();
        let extent = store.extent().unwrap();
        assert_eq!((extent.start, extent.acknowledged), (Lsn::new(70), Lsn::new(72)));
        assert_eq!(extent.epoch, Epoch::new(4));
        assert_eq!(scan(&store, &mut |_, _| Ok(())).unwrap().next, Lsn::new(72));
    }
}
