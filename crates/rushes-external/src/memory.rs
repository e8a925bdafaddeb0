//! Memory that two processes share: arrays one after another in a file that both map.

use std::io;
use std::path::Path;

use memmap2::{MmapOptions, MmapRaw};
use tempfile::{NamedTempFile, TempPath};

use crate::wire::{Array, Dtype, Leaf};

/// Offsets are multiples of this, a cache line.
const ALIGNMENT: usize = 64;

/// The places of arrays, as they are laid out one after another.
#[derive(Default)]
pub(crate) struct Layout {
    arrays: Vec<Array>,
    size: usize,
}

impl Layout {
    /// Adds an array and returns its number.
    pub(crate) fn add(
        &mut self,
        name: impl Into<String>,
        dtype: Dtype,
        shape: Vec<usize>,
    ) -> usize {
        let offset = self.size.next_multiple_of(ALIGNMENT);
        self.size = offset + dtype.size() * shape.iter().product::<usize>();
        self.arrays.push(Array { name: name.into(), dtype, shape, offset });
        self.arrays.len() - 1
    }

    /// Adds an array `NAME.0`, `NAME.1`, … for each leaf of a space, with a row a copy, and returns the number of the
    /// first.
    pub(crate) fn add_leaves(&mut self, name: &str, leaves: &[Leaf], copies: usize) -> usize {
        let first = self.arrays.len();
        for (i, leaf) in leaves.iter().enumerate() {
            self.add(format!("{name}.{i}"), leaf.dtype, [&[copies], &leaf.shape[..]].concat());
        }
        first
    }

    /// Bytes of all.
    pub(crate) fn size(&self) -> usize {
        self.size.max(1)
    }
}

/// A mapped file. Its name is there only until [`SharedMemory::unlink`], so that nothing is left after a crash.
pub(crate) struct SharedMemory {
    map: MmapRaw,
    path: Option<TempPath>,
    arrays: Vec<Array>,
}

impl SharedMemory {
    /// Makes the file: in memory where the system has a place for that, else among the temporary files.
    ///
    /// # Errors
    /// Fails if there is no room.
    pub(crate) fn create(layout: Layout) -> io::Result<Self> {
        let shm = Path::new("/dev/shm");
        let folder = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let file: NamedTempFile = tempfile::Builder::new().prefix("rushes-").tempfile_in(folder)?;
        // Reserved now: a page that does not exist would end the process at its first use.
        reserve(file.as_file(), layout.size() as u64)?;
        let map = MmapOptions::new().len(layout.size()).map_raw(file.as_file())?;
        let (_, path) = file.into_parts();
        Ok(Self { map, path: Some(path), arrays: layout.arrays })
    }

    /// Where the file is; empty once it has been unlinked.
    pub(crate) fn path(&self) -> &str {
        self.path.as_ref().and_then(|path| path.to_str()).unwrap_or_default()
    }

    /// The arrays in it.
    pub(crate) fn arrays(&self) -> &[Array] {
        &self.arrays
    }

    /// Removes the file's name: the other side has mapped it.
    pub(crate) fn unlink(&mut self) {
        self.path = None;
    }

    /// The bytes of row `row` of an array.
    pub(crate) fn row(&self, array: usize, row: usize) -> &[u8] {
        let (offset, size) = self.place(array, row);
        // SAFETY: `place` stays inside of the map, which lives as long as `self`. The other process writes only
        // between a command and its answer, and callers read only after the answer.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().add(offset), size) }
    }

    /// The bytes of row `row` of an array, to be written.
    pub(crate) fn row_mut(&mut self, array: usize, row: usize) -> &mut [u8] {
        let (offset, size) = self.place(array, row);
        // SAFETY: as in `row`; `&mut self` keeps this process from having another reference.
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().add(offset), size) }
    }

    fn place(&self, array: usize, row: usize) -> (usize, usize) {
        let Array { dtype, shape, offset, .. } = &self.arrays[array];
        assert!(row < shape[0], "no such row");
        let size = dtype.size() * shape[1..].iter().product::<usize>();
        (offset + row * size, size)
    }
}

#[cfg(target_os = "linux")]
fn reserve(file: &std::fs::File, size: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, size)?)
}

#[cfg(not(target_os = "linux"))]
fn reserve(file: &std::fs::File, size: u64) -> io::Result<()> {
    file.set_len(size)
}
