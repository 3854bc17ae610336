//! A key in Avro, with the values that JsonConverter would write.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Number, Value};

use super::bytes::{AvroBytes, NotAvro, deeper};
use super::schema::{AvroSchema, Type, TypeId};

impl AvroSchema {
    /// A whole value of this schema.
    pub fn value(&self, bytes: &[u8]) -> Result<Value, NotAvro> {
        let mut bytes = AvroBytes(bytes);
        let value = self.read(&mut bytes, self.root(), 0)?;
        if bytes.0.is_empty() {
            Ok(value)
        } else {
            Err(NotAvro)
        }
    }

    fn read(
        &self,
        bytes: &mut AvroBytes<'_>,
        kind: TypeId,
        depth: usize,
    ) -> Result<Value, NotAvro> {
        Ok(match self.get(kind) {
            Type::Null => Value::Null,
            Type::Boolean => Value::from(bytes.boolean()?),
            Type::Int | Type::Long => Value::from(bytes.long()?),
            // The shortest digits that are this number, as Java prints it.
            Type::Float => bytes
                .float()?
                .to_string()
                .parse::<f64>()
                .map_err(|_| NotAvro)?
                .into(),
            Type::Double => Number::from_f64(bytes.double()?).into(),
            Type::Bytes => STANDARD.encode(bytes.sized()?).into(),
            Type::Fixed(size) => STANDARD.encode(bytes.take(*size)?).into(),
            Type::String => bytes.text()?.into(),
            Type::Enum(symbols) => bytes.symbol(symbols)?.into(),
            Type::Union(branches) => {
                let branch = bytes.branch(branches)?;
                self.read(bytes, branch, deeper(depth)?)?
            }
            Type::Record(fields) => {
                let mut columns = Map::new();
                for field in fields {
                    columns.insert(
                        field.name.clone(),
                        self.read(bytes, field.kind, deeper(depth)?)?,
                    );
                }
                Value::Object(columns)
            }
            // No column of a key is one.
            Type::Array(_) | Type::Map(_) => {
                bytes.skip(self, kind, depth)?;
                Value::Null
            }
        })
    }
}
