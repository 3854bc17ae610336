//! Avro's binary form, read from the front.

use super::schema::{AvroSchema, Type, TypeId};

/// The bytes are not of their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe::records) struct NotAvro;

/// Values nested deeper are refused, so that no record can exhaust the stack.
const DEEPEST: usize = 64;

/// What has not been read yet.
pub(super) struct AvroBytes<'b>(pub &'b [u8]);

impl<'b> AvroBytes<'b> {
    pub fn take(&mut self, count: usize) -> Result<&'b [u8], NotAvro> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NotAvro)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, NotAvro> {
        let (&first, rest) = self.0.split_first().ok_or(NotAvro)?;
        self.0 = rest;
        Ok(first)
    }

    /// An `int` or a `long`: seven bits a byte, the lowest first, the sign in the lowest of all.
    pub fn long(&mut self) -> Result<i64, NotAvro> {
        let mut bits = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            bits |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        Err(NotAvro)
    }

    pub fn boolean(&mut self) -> Result<bool, NotAvro> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(NotAvro),
        }
    }

    pub fn float(&mut self) -> Result<f32, NotAvro> {
        let bytes = self.take(4)?.try_into().map_err(|_| NotAvro)?;
        Ok(f32::from_le_bytes(bytes))
    }

    pub fn double(&mut self) -> Result<f64, NotAvro> {
        let bytes = self.take(8)?.try_into().map_err(|_| NotAvro)?;
        Ok(f64::from_le_bytes(bytes))
    }

    /// `bytes` or `string`.
    pub fn sized(&mut self) -> Result<&'b [u8], NotAvro> {
        let size = self.long()?;
        self.take(usize::try_from(size).map_err(|_| NotAvro)?)
    }

    pub fn text(&mut self) -> Result<&'b str, NotAvro> {
        std::str::from_utf8(self.sized()?).map_err(|_| NotAvro)
    }

    /// The branch of a union that the value is of.
    pub fn branch(&mut self, branches: &[TypeId]) -> Result<TypeId, NotAvro> {
        let at = usize::try_from(self.long()?).map_err(|_| NotAvro)?;
        branches.get(at).copied().ok_or(NotAvro)
    }

    pub fn symbol<'s>(&mut self, symbols: &'s [String]) -> Result<&'s str, NotAvro> {
        let at = usize::try_from(self.long()?).map_err(|_| NotAvro)?;
        symbols.get(at).map(String::as_str).ok_or(NotAvro)
    }

    /// Skips a value.
    pub fn skip(&mut self, schema: &AvroSchema, kind: TypeId, depth: usize) -> Result<(), NotAvro> {
        let deeper = deeper(depth)?;
        match schema.get(kind) {
            Type::Null => {}
            Type::Boolean => drop(self.boolean()?),
            Type::Int | Type::Long | Type::Enum(_) => drop(self.long()?),
            Type::Float => drop(self.float()?),
            Type::Double => drop(self.double()?),
            Type::Bytes | Type::String => drop(self.sized()?),
            Type::Fixed(size) => drop(self.take(*size)?),
            Type::Union(branches) => {
                let branch = self.branch(branches)?;
                self.skip(schema, branch, deeper)?;
            }
            Type::Record(fields) => {
                for field in fields {
                    self.skip(schema, field.kind, deeper)?;
                }
            }
            Type::Array(item) => self.skip_blocks(|bytes| bytes.skip(schema, *item, deeper))?,
            Type::Map(value) => self.skip_blocks(|bytes| {
                bytes.sized()?;
                bytes.skip(schema, *value, deeper)
            })?,
        }
        Ok(())
    }

    /// Skips the blocks of an array or a map: by their size where it is written, else by their items.
    fn skip_blocks(
        &mut self,
        mut skip_item: impl FnMut(&mut Self) -> Result<(), NotAvro>,
    ) -> Result<(), NotAvro> {
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                self.sized()?;
                continue;
            }
            for _ in 0..count {
                let before = self.0.len();
                skip_item(self)?;
                // Items without bytes could be as many as the number says.
                if self.0.len() == before {
                    return Err(NotAvro);
                }
            }
        }
    }
}

/// The depth of what is in a value.
pub(super) fn deeper(depth: usize) -> Result<usize, NotAvro> {
    if depth < DEEPEST {
        Ok(depth + 1)
    } else {
        Err(NotAvro)
    }
}
