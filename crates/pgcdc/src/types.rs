//! What a column's type is, as far as its values have to be understood.

use std::collections::HashMap;
use std::sync::Arc;

/// A type, by what its values look like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// `bool`.
    Bool,
    /// `int2`, `int4`, `int8`, `oid`.
    Integer,
    /// `float4`, `float8`.
    Float,
    /// `numeric`.
    Numeric,
    /// `money`.
    Money,
    /// Whatever is written as the text it is: strings, JSON, addresses, ranges, enums.
    Text,
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
    /// An array.
    Array(Arc<Kind>),
    /// A type that has no representation of its own in Debezium's events: composites, multiranges, geometry.
    Other,
}

/// PostgreSQL's built-in types: OID, and OID of its array.
const BUILT_IN: &[(u32, u32, Kind)] = &[
    (16, 1000, Kind::Bool),
    (17, 1001, Kind::Bytea),
    (18, 1002, Kind::Text),
    (19, 1003, Kind::Text),
    (20, 1016, Kind::Integer),
    (21, 1005, Kind::Integer),
    (23, 1007, Kind::Integer),
    (25, 1009, Kind::Text),
    (26, 1028, Kind::Integer),
    (114, 199, Kind::Text),
    (142, 143, Kind::Text),
    (600, 1017, Kind::Point),
    (650, 651, Kind::Text),
    (700, 1021, Kind::Float),
    (701, 1022, Kind::Float),
    (774, 775, Kind::Text),
    (790, 791, Kind::Money),
    (829, 1040, Kind::Text),
    (869, 1041, Kind::Text),
    (1042, 1014, Kind::Text),
    (1043, 1015, Kind::Text),
    (1082, 1182, Kind::Date),
    (1083, 1183, Kind::Time),
    (1114, 1115, Kind::Timestamp),
    (1184, 1185, Kind::TimestampTz),
    (1186, 1187, Kind::Interval),
    (1266, 1270, Kind::TimeTz),
    (1560, 1561, Kind::Bits),
    (1562, 1563, Kind::Bits),
    (1700, 1231, Kind::Numeric),
    (2950, 2951, Kind::Uuid),
    (3614, 3643, Kind::Text),
    (3802, 3807, Kind::Text),
    (3904, 3905, Kind::Text),
    (3906, 3907, Kind::Text),
    (3908, 3909, Kind::Text),
    (3910, 3911, Kind::Text),
    (3912, 3913, Kind::Text),
    (3926, 3927, Kind::Text),
];

/// OIDs from here on are the database's own.
const FIRST_OF_ITS_OWN: u32 = 16_384;

/// A type as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// What its values look like.
    pub kind: Kind,
    /// Of a domain, the modifier that it sets for its base type; -1 otherwise.
    pub modifier: i32,
}

/// The types of a database.
#[derive(Debug, Clone)]
pub struct Types(HashMap<u32, Type>);

impl Default for Types {
    fn default() -> Self {
        let plain = |kind: Kind| Type { kind, modifier: -1 };
        let mut types = HashMap::new();
        for (oid, array, kind) in BUILT_IN {
            types.insert(*oid, plain(kind.clone()));
            types.insert(*array, plain(Kind::Array(Arc::new(kind.clone()))));
        }
        Self(types)
    }
}

/// A type of the database's own, as its catalogue describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    pub(super) oid: u32,
    pub(super) name: String,
    /// `typtype`: `b`ase, `c`omposite, `d`omain, `e`num, `p`seudo, `r`ange, `m`ultirange.
    pub(super) kind: char,
    /// The element's type, of an array.
    pub(super) element: u32,
    /// The base type, of a domain.
    pub(super) base: u32,
    pub(super) modifier: i32,
}

impl Types {
    /// A type; one that is not known has no representation.
    #[must_use]
    pub fn get(&self, oid: u32) -> Type {
        self.0.get(&oid).cloned().unwrap_or(Type {
            kind: Kind::Other,
            modifier: -1,
        })
    }

    /// Whether the catalogue has to be asked for it.
    pub(super) fn lacks(&self, oid: u32) -> bool {
        oid >= FIRST_OF_ITS_OWN && !self.0.contains_key(&oid)
    }

    /// Takes in what the catalogue says. Those that rest on others come to know them whatever their order.
    pub(super) fn learn(&mut self, described: &[Described]) {
        for _ in 0..3 {
            for one in described {
                let kind = match (one.kind, one.element) {
                    ('b', element) if element != 0 && one.name.starts_with('_') => {
                        let is_domain = described
                            .iter()
                            .any(|other| other.oid == element && other.kind == 'd');
                        Kind::Array(Arc::new(if is_domain {
                            // Debezium does not look through it.
                            Kind::Other
                        } else {
                            self.get(element).kind
                        }))
                    }
                    ('e' | 'r', _) => Kind::Text,
                    ('d', _) => self.get(one.base).kind,
                    ('b', _) => match &*one.name {
                        "hstore" => Kind::Hstore,
                        // Extensions whose text is what they are.
                        "citext" | "ltree" | "isbn" | "issn" | "ean13" => Kind::Text,
                        _ => Kind::Other,
                    },
                    _ => Kind::Other,
                };
                let modifier = one.modifier;
                self.0.insert(one.oid, Type { kind, modifier });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_domains_and_enums_are_known_by_what_they_rest_on() {
        let described = |oid, name: &str, kind, element, base| Described {
            oid,
            name: name.to_owned(),
            kind,
            element,
            base,
            modifier: -1,
        };
        let mut types = Types::default();
        assert!(types.lacks(20_000) && !types.lacks(2_205));
        // In the least helpful order.
        types.learn(&[
            described(20_002, "_mood", 'b', 20_000, 0),
            described(20_004, "_happy", 'b', 20_001, 0),
            described(20_001, "happy", 'd', 0, 20_000),
            described(20_000, "mood", 'e', 0, 0),
            described(20_003, "pair", 'c', 0, 0),
        ]);
        assert_eq!(types.get(20_001).kind, Kind::Text);
        assert_eq!(types.get(20_002).kind, Kind::Array(Arc::new(Kind::Text)));
        assert_eq!(types.get(20_004).kind, Kind::Array(Arc::new(Kind::Other)));
        assert_eq!(types.get(20_003).kind, Kind::Other);
        assert_eq!(types.get(1_231).kind, Kind::Array(Arc::new(Kind::Numeric)));
        assert_eq!(types.get(628).kind, Kind::Other, "line");
    }
}
