//! The types of a database, by OID: built-in ones, those that the stream names, and those that the catalogue describes.

pub(crate) mod catalogue;
pub(crate) mod kind;

pub use catalogue::CatalogueColumn;
pub use kind::{BinaryFormat, TypeKind};

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use self::kind::{BUILT_IN, BUILT_IN_RANGES, of_extension};

/// The first OID that the stream describes with a Type message: PostgreSQL's `FirstGenbkiObjectId`.
const FIRST_DESCRIBED: u32 = 10_000;
/// Most domains over domains, and arrays over them, that are followed.
const MAX_DEPTH: usize = 100;

/// A column type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// The text format of its values.
    pub kind: TypeKind,
    /// The binary format of its values.
    pub binary: BinaryFormat,
    /// For a domain, the modifier that it or a domain under it sets for the base type; otherwise -1.
    pub modifier: i32,
}

impl Type {
    fn new(kind: TypeKind, binary: BinaryFormat) -> Self {
        Self {
            kind,
            binary,
            modifier: -1,
        }
    }

    /// An array of this.
    fn into_array(self) -> Self {
        Self {
            kind: self.kind.into_array(),
            binary: BinaryFormat::Array(Arc::new(self.binary)),
            modifier: self.modifier,
        }
    }

    /// A range with bounds of this.
    fn into_range(self) -> Self {
        Self::new(TypeKind::Text, BinaryFormat::Range(Arc::new(self.binary)))
    }
}

/// The types of a database, by OID: the built-in ones, and user-defined ones that were looked up.
#[derive(Debug, Clone)]
pub struct Types {
    known: HashMap<u32, Type>,
    /// Schema and name by which the stream described a type; for a domain, those of the type under it.
    names: HashMap<u32, (String, String)>,
    /// Types that are text because nothing else is known of them.
    assumed: HashSet<u32>,
    /// Whether the locale of `money` was looked up.
    knows_money: bool,
}

impl Default for Types {
    fn default() -> Self {
        let mut known = HashMap::new();
        for built_in in BUILT_IN {
            let scalar = Type::new(built_in.kind.clone(), built_in.binary.clone());
            let bounds = BUILT_IN_RANGES
                .iter()
                .find(|(range, _)| *range == built_in.oid);
            // The table has the type of the bounds before the range.
            let found = match bounds.and_then(|(_, bound)| known.get(bound)) {
                Some(bound) => Type::clone(bound).into_range(),
                None => scalar,
            };
            known.insert(built_in.array, found.clone().into_array());
            known.insert(built_in.oid, found);
        }
        Self {
            known,
            names: HashMap::new(),
            assumed: HashSet::new(),
            knows_money: false,
        }
    }
}

/// A user-defined type as the catalogue (`pg_type`) describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CatalogueType {
    pub(super) oid: u32,
    pub(super) name: String,
    /// `typtype`: `b`ase, `c`omposite, `d`omain, `e`num, `p`seudo, `r`ange, `m`ultirange.
    pub(super) typtype: char,
    /// `typcategory`: `A` for an array.
    pub(super) category: char,
    /// For an array, the OID of the element type.
    pub(super) element: u32,
    /// For a domain, the OID of the type under it; for a range, of the type of its bounds.
    pub(super) base: u32,
    pub(super) modifier: i32,
}

impl Types {
    /// The type with this OID. One that is not known is [`TypeKind::Text`] if it is user-defined, and otherwise
    /// [`TypeKind::Other`].
    #[must_use]
    pub fn get(&self, oid: u32) -> Type {
        match self.known.get(&oid) {
            Some(known) => known.clone(),
            None if oid < FIRST_DESCRIBED => Type::new(TypeKind::Other, BinaryFormat::Other),
            None => self
                .by_name(oid)
                .unwrap_or(Type::new(TypeKind::Text, BinaryFormat::Other)),
        }
    }

    /// Whether it has to be looked up in the catalogue.
    pub(super) fn lacks(&self, oid: u32) -> bool {
        oid >= FIRST_DESCRIBED && !self.known.contains_key(&oid)
    }

    /// Whether the locale of `money` has to be looked up before types with these OIDs are known: one may be a domain over
    /// `money`, or an array of it.
    pub(super) fn lacks_money(&self, mut oids: impl Iterator<Item = u32>) -> bool {
        !self.knows_money && oids.any(|oid| oid >= FIRST_DESCRIBED || matches!(oid, 790 | 791))
    }

    /// Whether nothing is known of a type, so that its values are taken as text.
    pub(super) fn is_assumed(&self, oid: u32) -> bool {
        self.assumed.contains(&oid)
    }

    /// The stream's description of a type: how it was named when the changes after it were made. A type without a schema is
    /// built in.
    pub(super) fn add_name(&mut self, oid: u32, schema: &str, name: &str) {
        self.names.insert(oid, (schema.to_owned(), name.to_owned()));
    }

    /// Sets the number of decimals of `money`.
    pub(super) fn set_money(&mut self, decimals: u8) {
        self.knows_money = true;
        let money = Type::new(TypeKind::Money { decimals }, BinaryFormat::Money);
        self.known.insert(791, money.clone().into_array());
        self.known.insert(790, money);
    }

    /// Adds user-defined types that the catalogue describes, in any order. A type of `wanted` that it does not describe is no
    /// longer there: it is known by the name that the stream gave it, or else it is text.
    pub(super) fn add(&mut self, described: &[CatalogueType], wanted: &[u32]) {
        let described: HashMap<u32, &CatalogueType> =
            described.iter().map(|found| (found.oid, found)).collect();
        let oids = described.keys().chain(wanted).copied();
        for oid in oids.filter(|oid| self.lacks(*oid)).collect::<Vec<_>>() {
            self.resolve(oid, &described, MAX_DEPTH);
        }
    }

    /// The type with this OID, after the types that it refers to.
    fn resolve(
        &mut self,
        oid: u32,
        described: &HashMap<u32, &CatalogueType>,
        depth: usize,
    ) -> Type {
        if !self.lacks(oid) || depth == 0 {
            return self.get(oid);
        }
        let resolved = match described.get(&oid) {
            Some(found) => self.described(found, described, depth),
            None => self.by_name(oid),
        };
        let resolved = resolved.unwrap_or_else(|| {
            self.assumed.insert(oid);
            Type::new(TypeKind::Text, BinaryFormat::Other)
        });
        self.known.insert(oid, resolved.clone());
        resolved
    }

    /// A type that the catalogue describes; `None` for a base type of which nothing is known but its name.
    fn described(
        &mut self,
        found: &CatalogueType,
        described: &HashMap<u32, &CatalogueType>,
        depth: usize,
    ) -> Option<Type> {
        let text = |binary| Some(Type::new(TypeKind::Text, binary));
        match found.typtype {
            'e' => text(BinaryFormat::Text),
            'r' if found.base != 0 => {
                let bound = self.resolve(found.base, described, depth - 1);
                Some(bound.into_range())
            }
            'r' => text(BinaryFormat::Other),
            'd' => {
                let mut base = self.resolve(found.base, described, depth - 1);
                if self.is_assumed(found.base) {
                    self.assumed.insert(found.oid);
                }
                if found.modifier != -1 {
                    base.modifier = found.modifier;
                }
                Some(base)
            }
            'b' if found.category == 'A' && found.element != 0 => {
                let element = self.resolve(found.element, described, depth - 1);
                if self.is_assumed(found.element) {
                    self.assumed.insert(found.oid);
                }
                Some(element.into_array())
            }
            'b' => self.by_name(found.oid).or_else(|| {
                let (kind, binary) = of_extension(&found.name)?;
                Some(Type::new(kind, binary))
            }),
            _ => Some(Type::new(TypeKind::Other, BinaryFormat::Other)),
        }
    }

    /// A type by the name that the stream gave it: a built-in one under a domain, or one of a known extension.
    fn by_name(&self, oid: u32) -> Option<Type> {
        let (schema, name) = self.names.get(&oid)?;
        let of_name = |name: &str| {
            let built_in = BUILT_IN.iter().find(|built_in| built_in.name == name);
            if let Some(built_in) = built_in.filter(|_| schema.is_empty()) {
                return self.known.get(&built_in.oid).cloned();
            }
            let (kind, binary) = of_extension(name)?;
            Some(Type::new(kind, binary))
        };
        of_name(name).or_else(|| of_name(name.strip_prefix('_')?).map(Type::into_array))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(oid: u32, name: &str, typtype: char, element: u32, base: u32) -> CatalogueType {
        CatalogueType {
            oid,
            name: name.to_owned(),
            typtype,
            category: if element == 0 { 'U' } else { 'A' },
            element,
            base,
            modifier: -1,
        }
    }

    #[test]
    fn arrays_domains_and_enums_have_the_kind_of_the_type_they_refer_to() {
        let mut types = Types::default();
        assert!(types.lacks(20_000) && !types.lacks(2_205));
        // In the least helpful order.
        types.add(
            &[
                described(20_002, "_mood", 'b', 20_000, 0),
                described(20_004, "_happy", 'b', 20_001, 0),
                described(20_001, "happy", 'd', 0, 20_000),
                described(20_000, "mood", 'e', 0, 0),
                described(20_003, "pair", 'c', 0, 0),
            ],
            &[],
        );
        assert_eq!(types.get(20_001).kind, TypeKind::Text);
        assert_eq!(types.get(20_001).binary, BinaryFormat::Text);
        assert_eq!(types.get(20_002).kind, TypeKind::Text.into_array());
        assert_eq!(types.get(20_004).kind, TypeKind::Text.into_array());
        assert_eq!(types.get(20_003).kind, TypeKind::Other);
        assert_eq!(types.get(1_231).kind, TypeKind::Numeric.into_array());
        assert_eq!(types.get(628).kind, TypeKind::Other, "line");
    }

    #[test]
    fn a_domain_over_ten_domains_has_the_base_types_kind_and_the_nearest_modifier() {
        let mut types = Types::default();
        let mut chain: Vec<_> = (0..10)
            .map(|n| described(20_000 + n, "d", 'd', 0, 20_001 + n))
            .collect();
        chain[9].base = 1_700;
        chain[9].modifier = 655_366;
        chain[4].modifier = 327_686;
        chain.push(described(20_020, "_d", 'b', 20_000, 0));
        types.add(&chain, &[]);
        let first = types.get(20_000);
        assert_eq!((first.kind, first.modifier), (TypeKind::Numeric, 327_686));
        assert_eq!(types.get(20_007).modifier, 655_366);
        let array = types.get(20_020);
        assert_eq!(array.kind, TypeKind::Numeric.into_array());
        assert_eq!(array.modifier, 327_686);
        // A catalogue that is not in order.
        types.add(&[described(30_000, "d", 'd', 0, 30_000)], &[]);
        assert_eq!(types.get(30_000).kind, TypeKind::Text);
    }

    #[test]
    fn a_type_that_is_gone_is_known_by_the_streams_name_or_is_text() {
        let mut types = Types::default();
        types.add_name(20_000, "", "int4");
        types.add_name(20_001, "", "_int8");
        types.add_name(20_002, "public", "vector");
        types.add_name(20_003, "x", "_citext");
        types.add_name(20_004, "public", "mood");
        types.add_name(20_005, "public", "int4");
        assert_eq!(types.get(20_000).kind, TypeKind::Integer, "not looked up");
        let gone: Vec<_> = (20_000..20_007).collect();
        types.add(&[], &gone);
        assert!(gone.iter().all(|oid| !types.lacks(*oid)));
        let kind = |oid| types.get(oid).kind;
        assert_eq!(kind(20_000), TypeKind::Integer);
        assert_eq!(types.get(20_000).binary, BinaryFormat::Int4);
        assert_eq!(kind(20_001), TypeKind::Integer.into_array());
        assert_eq!(kind(20_002), TypeKind::Vector);
        assert_eq!(kind(20_003), TypeKind::Text.into_array());
        for oid in 20_004..20_007 {
            assert_eq!(kind(oid), TypeKind::Text);
            assert!(types.is_assumed(oid));
        }
        assert!(!types.is_assumed(20_003));
    }

    #[test]
    fn types_of_extensions_are_known_by_the_name_of_the_time_and_others_are_text() {
        let mut types = Types::default();
        // Renamed since.
        types.add_name(20_000, "public", "vector");
        types.add(
            &[
                described(20_000, "vec", 'b', 0, 0),
                described(20_001, "_vec", 'b', 20_000, 0),
                described(20_002, "semver", 'b', 0, 0),
                described(20_003, "_semver", 'b', 20_002, 0),
                // Not the extension's.
                described(20_004, "halfvec", 'c', 0, 0),
                // Its values are two numbers, though it can be read like an array.
                CatalogueType {
                    category: 'G',
                    ..described(20_005, "_point", 'b', 701, 0)
                },
            ],
            &[],
        );
        assert_eq!(types.get(20_000).kind, TypeKind::Vector);
        assert_eq!(types.get(20_001).kind, TypeKind::Vector.into_array());
        assert_eq!(types.get(20_002).kind, TypeKind::Text);
        assert_eq!(types.get(20_003).kind, TypeKind::Text.into_array());
        assert!(types.is_assumed(20_002) && types.is_assumed(20_003));
        assert_eq!(types.get(20_004).kind, TypeKind::Other);
        assert_eq!(types.get(20_005).kind, TypeKind::Text);
    }

    #[test]
    fn money_has_the_decimals_of_the_locale_also_under_a_domain() {
        let mut types = Types::default();
        assert!(types.lacks_money([790].into_iter()) && !types.lacks_money([25].into_iter()));
        types.set_money(0);
        types.add(&[described(20_000, "price", 'd', 0, 790)], &[]);
        assert_eq!(types.get(20_000).kind, TypeKind::Money { decimals: 0 });
        assert_eq!(
            types.get(791).kind,
            TypeKind::Money { decimals: 0 }.into_array()
        );
        assert!(!types.lacks_money([790].into_iter()));
    }
}
