//! The outline of a record in Avro.

use super::bytes::{AvroBytes, NotAvro, deeper};
use super::schema::{AvroSchema, Type, TypeId};
use crate::observe::records::outline::{LONGEST_TEXT, Outline, Part, Selection, Treatment};

impl AvroSchema {
    /// The outline of a value of this schema.
    pub fn outline(&self, bytes: &[u8], selection: Selection<'_>) -> Result<Part, NotAvro> {
        let mut bytes = AvroBytes(bytes);
        let part = self.part(&mut bytes, self.root(), Some(selection), 0)?;
        if bytes.0.is_empty() {
            Ok(part)
        } else {
            Err(NotAvro)
        }
    }

    fn part(
        &self,
        bytes: &mut AvroBytes<'_>,
        kind: TypeId,
        selection: Option<Selection<'_>>,
        depth: usize,
    ) -> Result<Part, NotAvro> {
        Ok(match self.get(kind) {
            Type::Null => Part::Null,
            Type::Boolean => Part::Flag(bytes.boolean()?),
            Type::Int | Type::Long => Part::Integer(bytes.long()?),
            Type::String => text(bytes.text()?),
            Type::Enum(symbols) => text(bytes.symbol(symbols)?),
            Type::Union(branches) => {
                let branch = bytes.branch(branches)?;
                self.part(bytes, branch, selection, deeper(depth)?)?
            }
            Type::Record(fields) => {
                let Some(selection) = selection else {
                    bytes.skip(self, kind, depth)?;
                    return Ok(Part::SkippedObject);
                };
                let mut outline = Outline::default();
                for field in fields {
                    outline.members += 1;
                    let within = match selection.of(&field.name) {
                        Treatment::Leave => {
                            bytes.skip(self, field.kind, deeper(depth)?)?;
                            continue;
                        }
                        Treatment::Keep => None,
                        Treatment::Enter(within) => Some(within),
                    };
                    let part = self.part(bytes, field.kind, within, deeper(depth)?)?;
                    outline.push(field.name.clone(), part);
                }
                Part::Fields(outline)
            }
            Type::Float
            | Type::Double
            | Type::Bytes
            | Type::Fixed(_)
            | Type::Array(_)
            | Type::Map(_) => {
                bytes.skip(self, kind, depth)?;
                Part::Skipped
            }
        })
    }
}

fn text(text: &str) -> Part {
    if text.len() <= LONGEST_TEXT {
        Part::Text(text.to_owned())
    } else {
        Part::Skipped
    }
}
