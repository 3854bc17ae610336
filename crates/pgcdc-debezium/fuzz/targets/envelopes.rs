#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgcdc_debezium_fuzz::envelopes::holds(bytes));
