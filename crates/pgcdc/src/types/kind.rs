//! The formats of columns' values: text and binary.

use std::sync::Arc;

/// The text format of a type's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypeKind {
    /// `bool`.
    Bool,
    /// `int2`, `int4`, `int8`, `oid`.
    Integer,
    /// `float4`, `float8`.
    Float,
    /// `numeric`.
    Numeric,
    /// `money`. Its text is that of the server's locale (`lc_monetary`).
    Money {
        /// Number of decimals in that locale, known with [`ReaderConfig::describe`](crate::ReaderConfig); 2 without it.
        decimals: u8,
    },
    /// Any type whose values need no conversion: strings, addresses, ranges, enums; and a user-defined type that is not known.
    Text,
    /// `json`, `jsonb`.
    Json,
    /// `uuid`.
    Uuid,
    /// `bytea`.
    Bytea,
    /// `date`.
    Date,
    /// `time`.
    Time,
    /// `timetz`.
    TimeTz,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    TimestampTz,
    /// `interval`.
    Interval,
    /// `bit`, `varbit`.
    Bits,
    /// `hstore`.
    Hstore,
    /// `point`.
    Point,
    /// `vector` of pgvector: `[1,2.5]`.
    Vector,
    /// `halfvec` of pgvector: `[1,2.5]`.
    HalfVector,
    /// `sparsevec` of pgvector: `{1:0.5,3:2}/5`.
    SparseVector,
    /// `geometry` and `geography` of PostGIS: extended well-known binary (EWKB) in hexadecimal.
    Geometry,
    /// An array.
    Array(Arc<TypeKind>),
    /// Any other type: composites, multiranges, built-in geometry other than points. Debezium's events leave it out.
    Other,
}

impl TypeKind {
    /// An array of this.
    pub(crate) fn into_array(self) -> Self {
        Self::Array(Arc::new(self))
    }
}

/// The binary format of a type's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BinaryFormat {
    /// `bool`: one byte.
    Bool,
    /// `int2`: two bytes.
    Int2,
    /// `int4`: four bytes.
    Int4,
    /// `int8`: eight bytes.
    Int8,
    /// `oid`: four bytes, unsigned.
    Oid,
    /// `float4`: four bytes.
    Float4,
    /// `float8`: eight bytes.
    Float8,
    /// `numeric`: digits to the base of 10,000.
    Numeric,
    /// `money`: eight bytes, a number of the locale's smallest units.
    Money,
    /// `date`: days since 2000-01-01.
    Date,
    /// `time`: microseconds of the day.
    Time,
    /// `timetz`: microseconds of the day, and seconds west of UTC.
    TimeTz,
    /// `timestamp`: microseconds since 2000-01-01.
    Timestamp,
    /// `timestamptz`: microseconds since 2000-01-01 UTC.
    TimestampTz,
    /// `interval`: microseconds, days and months.
    Interval,
    /// `uuid`: sixteen bytes.
    Uuid,
    /// `bytea`: the bytes.
    Bytea,
    /// The text: strings, `json`, `xml`, enums, `citext`.
    Text,
    /// A version, one byte of 1, and the text: `jsonb`, `ltree`.
    VersionedText,
    /// An array of elements of this format, of any number of dimensions.
    Array(Arc<BinaryFormat>),
    /// A range with bounds of this format.
    Range(Arc<BinaryFormat>),
    /// Any other.
    Other,
}

/// A built-in type.
pub(crate) struct BuiltIn {
    pub(crate) oid: u32,
    /// OID of the array type.
    pub(crate) array: u32,
    pub(crate) name: &'static str,
    pub(crate) kind: TypeKind,
    pub(crate) binary: BinaryFormat,
}

const fn built_in(
    oid: u32,
    array: u32,
    name: &'static str,
    kind: TypeKind,
    binary: BinaryFormat,
) -> BuiltIn {
    BuiltIn {
        oid,
        array,
        name,
        kind,
        binary,
    }
}

/// `money` in the C locale.
const MONEY: TypeKind = TypeKind::Money { decimals: 2 };

/// PostgreSQL's built-in types whose kind is not [`TypeKind::Other`].
#[rustfmt::skip]
pub(crate) const BUILT_IN: &[BuiltIn] = &[
    built_in(16, 1000, "bool", TypeKind::Bool, BinaryFormat::Bool),
    built_in(17, 1001, "bytea", TypeKind::Bytea, BinaryFormat::Bytea),
    built_in(18, 1002, "char", TypeKind::Text, BinaryFormat::Text),
    built_in(19, 1003, "name", TypeKind::Text, BinaryFormat::Text),
    built_in(20, 1016, "int8", TypeKind::Integer, BinaryFormat::Int8),
    built_in(21, 1005, "int2", TypeKind::Integer, BinaryFormat::Int2),
    built_in(23, 1007, "int4", TypeKind::Integer, BinaryFormat::Int4),
    built_in(25, 1009, "text", TypeKind::Text, BinaryFormat::Text),
    built_in(26, 1028, "oid", TypeKind::Integer, BinaryFormat::Oid),
    built_in(114, 199, "json", TypeKind::Json, BinaryFormat::Text),
    built_in(142, 143, "xml", TypeKind::Text, BinaryFormat::Text),
    built_in(600, 1017, "point", TypeKind::Point, BinaryFormat::Other),
    built_in(650, 651, "cidr", TypeKind::Text, BinaryFormat::Other),
    built_in(700, 1021, "float4", TypeKind::Float, BinaryFormat::Float4),
    built_in(701, 1022, "float8", TypeKind::Float, BinaryFormat::Float8),
    built_in(774, 775, "macaddr8", TypeKind::Text, BinaryFormat::Other),
    built_in(790, 791, "money", MONEY, BinaryFormat::Money),
    built_in(829, 1040, "macaddr", TypeKind::Text, BinaryFormat::Other),
    built_in(869, 1041, "inet", TypeKind::Text, BinaryFormat::Other),
    built_in(1042, 1014, "bpchar", TypeKind::Text, BinaryFormat::Text),
    built_in(1043, 1015, "varchar", TypeKind::Text, BinaryFormat::Text),
    built_in(1082, 1182, "date", TypeKind::Date, BinaryFormat::Date),
    built_in(1083, 1183, "time", TypeKind::Time, BinaryFormat::Time),
    built_in(1114, 1115, "timestamp", TypeKind::Timestamp, BinaryFormat::Timestamp),
    built_in(1184, 1185, "timestamptz", TypeKind::TimestampTz, BinaryFormat::TimestampTz),
    built_in(1186, 1187, "interval", TypeKind::Interval, BinaryFormat::Interval),
    built_in(1266, 1270, "timetz", TypeKind::TimeTz, BinaryFormat::TimeTz),
    built_in(1560, 1561, "bit", TypeKind::Bits, BinaryFormat::Other),
    built_in(1562, 1563, "varbit", TypeKind::Bits, BinaryFormat::Other),
    built_in(1700, 1231, "numeric", TypeKind::Numeric, BinaryFormat::Numeric),
    built_in(2950, 2951, "uuid", TypeKind::Uuid, BinaryFormat::Uuid),
    built_in(3614, 3643, "tsvector", TypeKind::Text, BinaryFormat::Other),
    built_in(3802, 3807, "jsonb", TypeKind::Json, BinaryFormat::VersionedText),
    built_in(3904, 3905, "int4range", TypeKind::Text, BinaryFormat::Other),
    built_in(3906, 3907, "numrange", TypeKind::Text, BinaryFormat::Other),
    built_in(3908, 3909, "tsrange", TypeKind::Text, BinaryFormat::Other),
    built_in(3910, 3911, "tstzrange", TypeKind::Text, BinaryFormat::Other),
    built_in(3912, 3913, "daterange", TypeKind::Text, BinaryFormat::Other),
    built_in(3926, 3927, "int8range", TypeKind::Text, BinaryFormat::Other),
];

/// OIDs of the built-in range types, and of the types of their bounds.
pub(crate) const BUILT_IN_RANGES: [(u32, u32); 6] = [
    (3904, 23),
    (3906, 1700),
    (3908, 1114),
    (3910, 1184),
    (3912, 1082),
    (3926, 20),
];

/// The kind and binary format of a type of an extension, by its name, as Debezium has them; `None` for any other name.
pub(crate) fn of_extension(name: &str) -> Option<(TypeKind, BinaryFormat)> {
    let text = |binary| Some((TypeKind::Text, binary));
    match name {
        "hstore" => Some((TypeKind::Hstore, BinaryFormat::Other)),
        "vector" => Some((TypeKind::Vector, BinaryFormat::Other)),
        "halfvec" => Some((TypeKind::HalfVector, BinaryFormat::Other)),
        "sparsevec" => Some((TypeKind::SparseVector, BinaryFormat::Other)),
        "geometry" | "geography" => Some((TypeKind::Geometry, BinaryFormat::Other)),
        "citext" => text(BinaryFormat::Text),
        "ltree" => text(BinaryFormat::VersionedText),
        "isbn" => text(BinaryFormat::Other),
        _ => None,
    }
}
