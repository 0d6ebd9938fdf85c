//! What a store says of itself that is made anew on another medium: it begins where the other one did. Knows nothing of what
//! the other one held.

use super::superblock::Superblock;
use crate::StoreError;
use crate::medium::Medium;
use crate::position::{Epoch, Lsn};

/// Has the store on an empty medium begin with a log at `start`, of which nothing is written, after an incarnation. Stable.
/// The highest number of a checkpoint is that of the last one that is put.
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
    use crate::conformance::block;
    use crate::medium::memory::MemoryMedium;
    use crate::{LayeredOptions, LayeredStore, Log, scan};

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
