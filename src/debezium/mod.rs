//! debezium.
