//! Protobuf's binary form, read from the front.

/// The bytes are no message of their schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::observe::records) struct NotProtobuf;

/// A field's value as it is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum WireValue<'b> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Sized(&'b [u8]),
}

/// What has not been read yet.
pub(super) struct ProtobufBytes<'b>(pub &'b [u8]);

impl<'b> ProtobufBytes<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], NotProtobuf> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NotProtobuf)?;
        self.0 = rest;
        Ok(taken)
    }

    pub fn varint(&mut self) -> Result<u64, NotProtobuf> {
        let mut bits = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.take(1)? else {
                return Err(NotProtobuf);
            };
            bits |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(bits);
            }
        }
        Err(NotProtobuf)
    }

    pub fn zigzag(&mut self) -> Result<i64, NotProtobuf> {
        Ok(zigzag(self.varint()?))
    }

    /// The next field's number and value; `None` at the end.
    pub fn field(&mut self) -> Result<Option<(u64, WireValue<'b>)>, NotProtobuf> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => WireValue::Varint(self.varint()?),
            1 => WireValue::Fixed64(self.take(8)?.try_into().map_err(|_| NotProtobuf)?),
            2 => {
                let size = usize::try_from(self.varint()?).map_err(|_| NotProtobuf)?;
                WireValue::Sized(self.take(size)?)
            }
            5 => WireValue::Fixed32(self.take(4)?.try_into().map_err(|_| NotProtobuf)?),
            // Groups, which no converter writes.
            _ => return Err(NotProtobuf),
        };
        Ok(Some((tag >> 3, value)))
    }
}

pub(super) fn zigzag(bits: u64) -> i64 {
    (bits >> 1).cast_signed() ^ -(bits & 1).cast_signed()
}
