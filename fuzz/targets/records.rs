#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cdc_bench_fuzz::records::holds(bytes));
