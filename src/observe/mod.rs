//! A pipeline that others run, observed.

pub mod records;
