//! Column types, classified by the text format of their values.

use std::collections::HashMap;
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
    /// `money`.
    Money,
    /// Any type whose values need no conversion: strings, JSON, addresses, ranges, enums.
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
    Array(Arc<TypeKind>),
    /// Any other type: composites, multiranges, geometry. Debezium's events leave it out.
    Other,
}

/// PostgreSQL's built-in types: OID, OID of the array type, and kind.
const BUILT_IN: &[(u32, u32, TypeKind)] = &[
    (16, 1000, TypeKind::Bool),
    (17, 1001, TypeKind::Bytea),
    (18, 1002, TypeKind::Text),
    (19, 1003, TypeKind::Text),
    (20, 1016, TypeKind::Integer),
    (21, 1005, TypeKind::Integer),
    (23, 1007, TypeKind::Integer),
    (25, 1009, TypeKind::Text),
    (26, 1028, TypeKind::Integer),
    (114, 199, TypeKind::Text),
    (142, 143, TypeKind::Text),
    (600, 1017, TypeKind::Point),
    (650, 651, TypeKind::Text),
    (700, 1021, TypeKind::Float),
    (701, 1022, TypeKind::Float),
    (774, 775, TypeKind::Text),
    (790, 791, TypeKind::Money),
    (829, 1040, TypeKind::Text),
    (869, 1041, TypeKind::Text),
    (1042, 1014, TypeKind::Text),
    (1043, 1015, TypeKind::Text),
    (1082, 1182, TypeKind::Date),
    (1083, 1183, TypeKind::Time),
    (1114, 1115, TypeKind::Timestamp),
    (1184, 1185, TypeKind::TimestampTz),
    (1186, 1187, TypeKind::Interval),
    (1266, 1270, TypeKind::TimeTz),
    (1560, 1561, TypeKind::Bits),
    (1562, 1563, TypeKind::Bits),
    (1700, 1231, TypeKind::Numeric),
    (2950, 2951, TypeKind::Uuid),
    (3614, 3643, TypeKind::Text),
    (3802, 3807, TypeKind::Text),
    (3904, 3905, TypeKind::Text),
    (3906, 3907, TypeKind::Text),
    (3908, 3909, TypeKind::Text),
    (3910, 3911, TypeKind::Text),
    (3912, 3913, TypeKind::Text),
    (3926, 3927, TypeKind::Text),
];

/// The first OID of user-defined types: PostgreSQL's `FirstNormalObjectId`.
const FIRST_USER_DEFINED: u32 = 16_384;

/// A column type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// The format of its values.
    pub kind: TypeKind,
    /// For a domain, the modifier that it sets for its base type; otherwise -1.
    pub modifier: i32,
}

/// The types of a database, by OID: the built-in ones, and user-defined ones that were looked up.
#[derive(Debug, Clone)]
pub struct Types(HashMap<u32, Type>);

impl Default for Types {
    fn default() -> Self {
        let plain = |kind: TypeKind| Type { kind, modifier: -1 };
        let mut types = HashMap::new();
        for (oid, array, kind) in BUILT_IN {
            types.insert(*oid, plain(kind.clone()));
            types.insert(*array, plain(TypeKind::Array(Arc::new(kind.clone()))));
        }
        Self(types)
    }
}

/// A user-defined type as the catalogue (`pg_type`) describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CatalogueType {
    pub(super) oid: u32,
    pub(super) name: String,
    /// `typtype`: `b`ase, `c`omposite, `d`omain, `e`num, `p`seudo, `r`ange, `m`ultirange.
    pub(super) typtype: char,
    /// For an array, the OID of the element type.
    pub(super) element: u32,
    /// For a domain, the OID of its base type.
    pub(super) base: u32,
    pub(super) modifier: i32,
}

impl Types {
    /// The type with this OID; [`TypeKind::Other`] when it is not known.
    #[must_use]
    pub fn get(&self, oid: u32) -> Type {
        self.0.get(&oid).cloned().unwrap_or(Type {
            kind: TypeKind::Other,
            modifier: -1,
        })
    }

    /// Whether it has to be looked up in the catalogue.
    pub(super) fn lacks(&self, oid: u32) -> bool {
        oid >= FIRST_USER_DEFINED && !self.0.contains_key(&oid)
    }

    /// Adds user-defined types. A type that refers to another (array, domain) may stand before it.
    pub(super) fn add(&mut self, described: &[CatalogueType]) {
        for _ in 0..3 {
            for found in described {
                let kind = match (found.typtype, found.element) {
                    ('b', element) if element != 0 && found.name.starts_with('_') => {
                        let is_domain = described
                            .iter()
                            .any(|other| other.oid == element && other.typtype == 'd');
                        TypeKind::Array(Arc::new(if is_domain {
                            // Debezium does not resolve the domain here.
                            TypeKind::Other
                        } else {
                            self.get(element).kind
                        }))
                    }
                    ('e' | 'r', _) => TypeKind::Text,
                    ('d', _) => self.get(found.base).kind,
                    ('b', _) => match &*found.name {
                        "hstore" => TypeKind::Hstore,
                        // Types of extensions whose values need no conversion.
                        "citext" | "ltree" | "isbn" | "issn" | "ean13" => TypeKind::Text,
                        _ => TypeKind::Other,
                    },
                    _ => TypeKind::Other,
                };
                let modifier = found.modifier;
                self.0.insert(found.oid, Type { kind, modifier });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_domains_and_enums_have_the_kind_of_the_type_they_refer_to() {
        let described = |oid, name: &str, typtype, element, base| CatalogueType {
            oid,
            name: name.to_owned(),
            typtype,
            element,
            base,
            modifier: -1,
        };
        let mut types = Types::default();
        assert!(types.lacks(20_000) && !types.lacks(2_205));
        // In the least helpful order.
        types.add(&[
            described(20_002, "_mood", 'b', 20_000, 0),
            described(20_004, "_happy", 'b', 20_001, 0),
            described(20_001, "happy", 'd', 0, 20_000),
            described(20_000, "mood", 'e', 0, 0),
            described(20_003, "pair", 'c', 0, 0),
        ]);
        assert_eq!(types.get(20_001).kind, TypeKind::Text);
        assert_eq!(
            types.get(20_002).kind,
            TypeKind::Array(Arc::new(TypeKind::Text))
        );
        assert_eq!(
            types.get(20_004).kind,
            TypeKind::Array(Arc::new(TypeKind::Other))
        );
        assert_eq!(types.get(20_003).kind, TypeKind::Other);
        assert_eq!(
            types.get(1_231).kind,
            TypeKind::Array(Arc::new(TypeKind::Numeric))
        );
        assert_eq!(types.get(628).kind, TypeKind::Other, "line");
    }
}
