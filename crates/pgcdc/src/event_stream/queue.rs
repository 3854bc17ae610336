//! The queue between the reader's thread and a task: bounded in number and bytes.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Most events, and most bytes of them, that wait for the task that takes them.
///
/// One event is always let in, however large: then it waits alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventBuffer {
    /// Events.
    pub events: usize,
    /// Bytes.
    pub bytes: usize,
}

impl Default for EventBuffer {
    /// 8,192 events, 16 MiB.
    fn default() -> Self {
        Self {
            events: 8_192,
            bytes: 16 << 20,
        }
    }
}

/// The queue. The reader's thread blocks while it is full; the task is woken when there is something.
#[derive(Debug)]
pub(crate) struct EventQueue<T> {
    bounds: EventBuffer,
    state: Mutex<State<T>>,
    has_room: Condvar,
}

#[derive(Debug)]
struct State<T> {
    /// With their bytes.
    events: VecDeque<(T, usize)>,
    bytes: usize,
    is_closed: bool,
    /// Whether the reader's thread waits for room.
    is_waited_for: bool,
    task: Option<Waker>,
}

impl<T> EventQueue<T> {
    pub(crate) fn new(bounds: EventBuffer) -> Self {
        Self {
            bounds,
            state: Mutex::new(State {
                events: VecDeque::new(),
                bytes: 0,
                is_closed: false,
                is_waited_for: false,
                task: None,
            }),
            has_room: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes an event of this size and appends it, when there is room. Breaks when the queue is closed. From one thread alone.
    pub(crate) fn push(&self, size: usize, make: impl FnOnce() -> T) -> ControlFlow<()> {
        let mut state = self.lock();
        while self.is_full(&state, size) && !state.is_closed {
            state.is_waited_for = true;
            let waited = self.has_room.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.is_waited_for = false;
        if state.is_closed {
            return ControlFlow::Break(());
        }
        drop(state);
        // A large one is not copied while the task waits for the lock.
        let event = make();
        let mut state = self.lock();
        state.events.push_back((event, size));
        state.bytes += size;
        let task = state.task.take();
        drop(state);
        if let Some(task) = task {
            task.wake();
        }
        ControlFlow::Continue(())
    }

    fn is_full(&self, state: &State<T>, size: usize) -> bool {
        !state.events.is_empty()
            && (state.events.len() >= self.bounds.events
                || state.bytes.saturating_add(size) > self.bounds.bytes)
    }

    /// Takes the next event, or has the task woken when there is one.
    pub(crate) fn poll_pop(&self, context: &mut Context<'_>) -> Poll<T> {
        let mut state = self.lock();
        let Some((event, size)) = state.events.pop_front() else {
            state.task = Some(context.waker().clone());
            return Poll::Pending;
        };
        state.bytes -= size;
        // Not for each one: waking a thread costs as much as many events.
        let is_half_empty =
            state.events.len() <= self.bounds.events / 2 && state.bytes <= self.bounds.bytes / 2;
        if state.is_waited_for && is_half_empty {
            self.has_room.notify_one();
        }
        Poll::Ready(event)
    }

    /// Refuses what comes from now on, and lets go of a thread that waits for room.
    pub(crate) fn close(&self) {
        self.lock().is_closed = true;
        self.has_room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pop(queue: &EventQueue<u32>) -> Option<u32> {
        match queue.poll_pop(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(event) => Some(event),
            Poll::Pending => None,
        }
    }

    fn queue() -> Arc<EventQueue<u32>> {
        Arc::new(EventQueue::new(EventBuffer {
            events: 4,
            bytes: 100,
        }))
    }

    #[test]
    fn a_full_queue_makes_its_thread_wait_until_it_is_half_empty() {
        let queue = queue();
        for number in 0..4 {
            assert!(queue.push(1, || number).is_continue());
        }
        let thread = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(1, || 4)
        });
        while !queue.lock().is_waited_for {
            std::thread::yield_now();
        }
        assert_eq!(pop(&queue), Some(0));
        assert_eq!(queue.lock().events.len(), 3, "not yet let in");
        assert_eq!(pop(&queue), Some(1));
        assert!(thread.join().unwrap().is_continue());
        assert_eq!(
            [pop(&queue), pop(&queue), pop(&queue), pop(&queue)],
            [Some(2), Some(3), Some(4), None]
        );
    }

    #[test]
    fn an_event_larger_than_the_bound_waits_alone() {
        let queue = queue();
        assert!(queue.push(1_000, || 0).is_continue());
        let thread = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(1, || 1)
        });
        while !queue.lock().is_waited_for {
            std::thread::yield_now();
        }
        assert_eq!(pop(&queue), Some(0));
        assert!(thread.join().unwrap().is_continue());
        assert_eq!(pop(&queue), Some(1));
    }

    #[test]
    fn closing_lets_go_of_a_thread_that_waits() {
        let queue = queue();
        assert!(queue.push(1_000, || 0).is_continue());
        let thread = std::thread::spawn({
            let queue = Arc::clone(&queue);
            move || queue.push(1, || 1)
        });
        while !queue.lock().is_waited_for {
            std::thread::yield_now();
        }
        queue.close();
        assert!(thread.join().unwrap().is_break());
        assert_eq!(pop(&queue), Some(0), "what was let in is still there");
    }
}
