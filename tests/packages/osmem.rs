// SPDX-License-Identifier: MIT
// A Rust program on os_malloc and its like, as its global allocator: rustc -L LIBDIR -l osmem osmem.rs
use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicUsize, Ordering};

#[link(name = "osmem")]
extern "C" {
    fn os_malloc(size: usize) -> *mut u8;
    fn os_calloc(nmemb: usize, size: usize) -> *mut u8;
    fn os_aligned_alloc(alignment: usize, size: usize) -> *mut u8;
    fn os_realloc(ptr: *mut u8, size: usize) -> *mut u8;
    fn os_free(ptr: *mut u8);
    fn os_usable_size(ptr: *const u8) -> usize;
}

struct Osmem;
const ALIGNED: usize = 16; // any block is; a larger alignment is asked for, and lost in os_realloc
static ASKED: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Osmem {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.fetch_add(1, Ordering::Relaxed);
        if layout.align() <= ALIGNED { os_malloc(layout.size()) } else { os_aligned_alloc(layout.align(), layout.size()) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= ALIGNED {
            return os_calloc(1, layout.size());
        }
        let block = self.alloc(layout);
        if !block.is_null() {
            block.write_bytes(0, layout.size());
        }
        block
    }
    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        os_free(block)
    }
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.align() <= ALIGNED {
            return os_realloc(block, size);
        }
        let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
        if !moved.is_null() {
            moved.copy_from_nonoverlapping(block, layout.size().min(size));
            os_free(block);
        }
        moved
    }
}

#[global_allocator]
static OSMEM: Osmem = Osmem;

#[derive(Clone)]
#[repr(align(256))]
struct Wide(u64);

fn main() {
    let before = ASKED.load(Ordering::Relaxed);
    let mut wide = Vec::new();
    for number in 0..1000 {
        wide.push(Wide(number));
    }
    assert!(wide.as_ptr() as usize % 256 == 0 && wide.iter().map(|each| each.0).sum::<u64>() == 499_500);
    let words: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    let threads: Vec<_> = (0..4).map(|_| { let mine = words.clone(); std::thread::spawn(move || mine.concat().len()) }).collect();
    assert!(threads.into_iter().all(|each| each.join().unwrap() == 2890));
    assert!(vec![0u8; 1 << 20].iter().all(|byte| *byte == 0));
    assert!(ASKED.load(Ordering::Relaxed) > before + 1000);
    assert!(unsafe { os_usable_size(words.as_ptr() as *const u8) } >= words.capacity() * std::mem::size_of::<String>());
    println!("all of it on osmem");
}
