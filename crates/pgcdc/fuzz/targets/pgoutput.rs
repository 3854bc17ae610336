#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pgcdc_fuzz::pgoutput::holds(bytes));
