//! What a process did to the files of a store and printed, in order, as the interposer recorded it.

use std::ops::Range;

/// One entry of the recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A write begins.
    WriteBegins {
        /// The number that the entry of its end repeats.
        id: u64,
        /// The file.
        name: String,
        /// Where in the file.
        offset: u64,
        /// Where its content lies in the recording.
        content: Range<usize>,
    },
    /// A write has ended.
    WriteEnded {
        /// Which.
        id: u64,
        /// How many bytes of it were done.
        done: u64,
    },
    /// A sync begins.
    SyncBegins {
        /// The number that the entry of its end repeats.
        id: u64,
        /// The file or directory.
        name: String,
        /// It is an `fdatasync`.
        data_only: bool,
    },
    /// A sync has succeeded.
    SyncEnded {
        /// Which.
        id: u64,
    },
    /// A file was cut or grown.
    Resized {
        /// The file.
        name: String,
        /// To which length.
        length: u64,
    },
    /// A file was made.
    Made {
        /// The file.
        name: String,
    },
    /// A file was renamed.
    Renamed {
        /// Its name before.
        from: String,
        /// Its name since.
        to: String,
    },
    /// A file was removed.
    Removed {
        /// The file.
        name: String,
    },
    /// The process printed something.
    Said {
        /// Where it lies in the recording.
        content: Range<usize>,
    },
    /// A directory was made.
    DirectoryMade {
        /// The directory.
        name: String,
    },
    /// A call fails, or is done in part, because that was planned.
    Failed {
        /// Its kind, as the interposer calls it.
        call: String,
        /// The file or directory.
        name: String,
    },
}

/// All entries, in order.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
}

impl Recording {
    /// Reads the interposer's file. An entry that the death of its process has cut counts as not
    /// done.
    ///
    /// # Errors
    /// The bytes are no entry.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let mut entries = Vec::new();
        let mut reader = Reader { bytes: &bytes, at: 0 };
        while reader.at < bytes.len() {
            let at = reader.at;
            let kind = bytes[at];
            match reader.entry() {
                Some(entry) => entries.push(entry),
                None if (1..=12).contains(&kind) => break,
                None => return Err(format!("no entry of a recording begins with {kind}, at {at}")),
            }
        }
        Ok(Self { bytes, entries })
    }

    /// The entries.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The bytes of the interposer's file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A part of the bytes that the process wrote or printed.
    #[must_use]
    pub fn content(&self, range: &Range<usize>) -> &[u8] {
        &self.bytes[range.clone()]
    }

    /// The whole lines that the process printed before the entry at `end`.
    #[must_use]
    pub fn said_before(&self, end: usize) -> Vec<String> {
        let mut said = Vec::new();
        for entry in &self.entries[..end] {
            if let Entry::Said { content } = entry {
                said.extend_from_slice(self.content(content));
            }
        }
        let whole = said.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        String::from_utf8_lossy(&said[..whole]).lines().map(str::to_owned).collect()
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn entry(&mut self) -> Option<Entry> {
        let kind = self.take(1)?;
        Some(match self.bytes[kind.start] {
            1 => Entry::WriteBegins {
                id: self.number()?,
                name: self.text()?,
                offset: self.number()?,
                content: self.content()?,
            },
            2 => Entry::WriteEnded { id: self.number()?, done: self.number()? },
            kind @ (3 | 12) => {
                Entry::SyncBegins { id: self.number()?, name: self.text()?, data_only: kind == 12 }
            }
            4 => Entry::SyncEnded { id: self.number()? },
            5 => Entry::Resized { name: self.text()?, length: self.number()? },
            6 => Entry::Made { name: self.text()? },
            7 => Entry::Renamed { from: self.text()?, to: self.text()? },
            8 => Entry::Removed { name: self.text()? },
            9 => Entry::Said { content: self.content()? },
            10 => Entry::DirectoryMade { name: self.text()? },
            11 => Entry::Failed { call: self.text()?, name: self.text()? },
            _ => return None,
        })
    }

    fn take(&mut self, count: usize) -> Option<Range<usize>> {
        let range = self.at..self.at.checked_add(count)?;
        self.bytes.get(range.clone())?;
        self.at = range.end;
        Some(range)
    }

    fn number(&mut self) -> Option<u64> {
        let range = self.take(8)?;
        self.bytes[range].try_into().ok().map(u64::from_le_bytes)
    }

    fn content(&mut self) -> Option<Range<usize>> {
        let length = self.take(4)?;
        let length = self.bytes[length].try_into().ok().map(u32::from_le_bytes)?;
        self.take(length as usize)
    }

    fn text(&mut self) -> Option<String> {
        let range = self.content()?;
        Some(String::from_utf8_lossy(&self.bytes[range]).into_owned())
    }
}
