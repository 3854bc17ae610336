//! An Avro schema, its names resolved.

use std::collections::HashMap;

use serde_json::{Map, Value};

/// A schema. Types refer to others by their index, for a type may contain itself.
#[derive(Debug)]
pub(in crate::observe::records) struct AvroSchema {
    types: Vec<Type>,
    root: TypeId,
}

pub(super) type TypeId = usize;

#[derive(Debug)]
pub(super) enum Type {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    /// Of this many bytes.
    Fixed(usize),
    Enum(Vec<String>),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Vec<Field>),
}

#[derive(Debug)]
pub(super) struct Field {
    pub name: String,
    pub kind: TypeId,
}

impl AvroSchema {
    /// The schema in this text; `references` are the texts of schemas whose names it uses, each after those that it uses itself.
    pub fn parse(text: &str, references: &[String]) -> Result<Self, String> {
        let mut parser = SchemaParser::default();
        let mut root = None;
        for text in references.iter().map(String::as_str).chain([text]) {
            let json: Value = serde_json::from_str(text)
                .map_err(|error| format!("its Avro schema is not JSON: {error}"))?;
            root = Some(parser.schema(&json, "", 0)?);
        }
        Ok(Self {
            types: parser.types,
            root: root.ok_or("it has no schema")?,
        })
    }

    pub(super) fn root(&self) -> TypeId {
        self.root
    }

    pub(super) fn get(&self, id: TypeId) -> &Type {
        &self.types[id]
    }
}

/// Deeper schemas are refused, so that no schema can exhaust the stack.
const DEEPEST: usize = 64;

#[derive(Default)]
struct SchemaParser {
    types: Vec<Type>,
    /// By full name.
    named: HashMap<String, TypeId>,
}

impl SchemaParser {
    fn add(&mut self, kind: Type) -> TypeId {
        self.types.push(kind);
        self.types.len() - 1
    }

    /// The type that a part of a schema describes, within the namespace of what it is part of.
    fn schema(&mut self, json: &Value, namespace: &str, depth: usize) -> Result<TypeId, String> {
        if depth > DEEPEST {
            return Err(format!(
                "its Avro schema is more than {DEEPEST} levels deep"
            ));
        }
        match json {
            Value::String(name) => self.by_name(name, namespace),
            Value::Array(branches) => {
                let branches = branches
                    .iter()
                    .map(|branch| self.schema(branch, namespace, depth + 1));
                let union = Type::Union(branches.collect::<Result<_, _>>()?);
                Ok(self.add(union))
            }
            Value::Object(members) => self.object(members, namespace, depth),
            other => Err(format!("{other} is no Avro schema")),
        }
    }

    fn by_name(&mut self, name: &str, namespace: &str) -> Result<TypeId, String> {
        let kind = match name {
            "null" => Type::Null,
            "boolean" => Type::Boolean,
            "int" => Type::Int,
            "long" => Type::Long,
            "float" => Type::Float,
            "double" => Type::Double,
            "bytes" => Type::Bytes,
            "string" => Type::String,
            name => {
                let known = self
                    .named
                    .get(&full_name(name, namespace))
                    .or_else(|| self.named.get(name));
                return known.copied().ok_or_else(|| {
                    format!("its Avro schema uses type {name}, which it does not define")
                });
            }
        };
        Ok(self.add(kind))
    }

    fn object(
        &mut self,
        members: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<TypeId, String> {
        let part = |name: &str| {
            members
                .get(name)
                .ok_or_else(|| format!("its Avro schema has a type without \"{name}\""))
        };
        let kind = match part("type")? {
            Value::String(kind) => kind.as_str(),
            // A type in a type, with properties beside it.
            inner => return self.schema(inner, namespace, depth + 1),
        };
        match kind {
            "array" => {
                let items = self.schema(part("items")?, namespace, depth + 1)?;
                Ok(self.add(Type::Array(items)))
            }
            "map" => {
                let values = self.schema(part("values")?, namespace, depth + 1)?;
                Ok(self.add(Type::Map(values)))
            }
            "record" | "error" | "enum" | "fixed" => {
                let own = members.get("namespace").and_then(Value::as_str);
                let name = part("name")?.as_str().unwrap_or_default();
                let full = full_name(name, own.unwrap_or(namespace));
                let namespace = full
                    .rsplit_once('.')
                    .map_or("", |(namespace, _)| namespace)
                    .to_owned();
                // Its fields may name it.
                let id = self.add(Type::Null);
                self.named.insert(full, id);
                self.types[id] = self.named_type(kind, members, &namespace, depth)?;
                Ok(id)
            }
            // With a logical type beside it.
            name => self.by_name(name, namespace),
        }
    }

    fn named_type(
        &mut self,
        kind: &str,
        members: &Map<String, Value>,
        namespace: &str,
        depth: usize,
    ) -> Result<Type, String> {
        let list = |name: &str| {
            let list = members.get(name).and_then(Value::as_array);
            list.ok_or_else(|| {
                format!("its Avro schema has a type of kind {kind} without \"{name}\"")
            })
        };
        match kind {
            "enum" => {
                let symbols = list("symbols")?.iter();
                let symbols = symbols.map(|symbol| symbol.as_str().unwrap_or_default().to_owned());
                Ok(Type::Enum(symbols.collect()))
            }
            "fixed" => {
                let size = members.get("size").and_then(Value::as_u64);
                let size = size.and_then(|size| usize::try_from(size).ok());
                Ok(Type::Fixed(size.ok_or(
                    "its Avro schema has a type of kind fixed without \"size\"",
                )?))
            }
            _ => {
                let mut fields = Vec::new();
                for field in list("fields")? {
                    let name = field
                        .get("name")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned();
                    let of = field
                        .get("type")
                        .ok_or_else(|| format!("field {name} of its Avro schema has no type"))?;
                    fields.push(Field {
                        name,
                        kind: self.schema(of, namespace, depth + 1)?,
                    });
                }
                Ok(Type::Record(fields))
            }
        }
    }
}

/// A name with a dot in it is whole.
fn full_name(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<AvroSchema, String> {
        AvroSchema::parse(text, &[])
    }

    #[test]
    fn names_are_those_of_the_namespace_around_them() {
        let schema = r#"{"type":"record","name":"Envelope","namespace":"shop","fields":[
            {"name":"before","type":["null",{"type":"record","name":"Value","fields":[{"name":"next","type":["null","Value"]}]}],"default":null},
            {"name":"after","type":["null","Value"]},
            {"name":"again","type":"shop.Value"},
            {"name":"at","type":{"type":"long","connect.version":1,"connect.name":"io.debezium.time.MicroTimestamp"}}]}"#;
        let schema = parse(schema).unwrap();
        let Type::Record(fields) = schema.get(schema.root()) else {
            panic!("a record");
        };
        let Type::Union(before) = schema.get(fields[0].kind) else {
            panic!("a union");
        };
        assert_eq!(before[1], fields[2].kind);
        assert!(matches!(schema.get(fields[3].kind), Type::Long));
    }

    #[test]
    fn a_schema_may_use_names_of_others() {
        let key = r#"{"type":"record","name":"Key","namespace":"shop","fields":[{"name":"id","type":"long"}]}"#;
        let schema = r#"{"type":"record","name":"Wrapped","namespace":"other","fields":[{"name":"key","type":"shop.Key"}]}"#;
        assert!(AvroSchema::parse(schema, &[key.to_owned()]).is_ok());
        let error = parse(schema).unwrap_err();
        assert!(error.contains("shop.Key"), "{error}");
    }

    #[test]
    fn what_is_no_schema_is_refused_and_no_depth_exhausts_the_stack() {
        for text in [
            "",
            "7",
            "{}",
            r#"{"type":"array"}"#,
            r#""nothing""#,
            r#"{"type":"enum","name":"e"}"#,
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        let mut deep = "\"long\"".to_owned();
        for _ in 0..100 {
            deep = format!(r#"{{"type":"array","items":{deep}}}"#);
        }
        assert!(parse(&deep).unwrap_err().contains("deep"));
    }
}
