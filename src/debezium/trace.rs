//! The values of an event and where each is in its text: what a template is made of.

use std::ops::Range;

use super::field::Field;

/// A value and where it is in the text; no field where it is skipped.
pub(super) type TracedValue = (Option<Field>, Range<usize>);

/// All values of one event, in the order of its text.
#[derive(Debug, Default)]
pub(super) struct ValueTrace {
    pub values: Vec<TracedValue>,
    pub is_recording: bool,
}

impl ValueTrace {
    /// A trace that records nothing.
    pub fn disabled() -> Self {
        Self::default()
    }

    /// Begins to record another event.
    pub fn restart(&mut self) {
        self.values.clear();
        self.is_recording = true;
    }

    /// No template can be made of this event.
    pub fn discard(&mut self) {
        self.is_recording = false;
    }

    /// Records a value.
    pub fn record(&mut self, field: Option<Field>, range: Range<usize>) {
        if self.is_recording {
            self.values.push((field, range));
        }
    }

    /// How many values were recorded so far.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// The fields read from these values are not used.
    pub fn set_unused(&mut self, which: Range<usize>) {
        for (field, _) in self.values.get_mut(which).unwrap_or_default() {
            *field = None;
        }
    }
}
