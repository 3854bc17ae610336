//! Conversion of `numeric` to the decimals of other crates, without rounding.

#[cfg(any(feature = "bigdecimal", feature = "rust_decimal"))]
macro_rules! decimals {
    ($type:ty, $name:literal, $parse:expr) => {
        impl<'a> super::FromValue<'a> for $type {
            const NAME: &'static str = $name;

            fn from_text(text: &'a str, _: &crate::Column) -> Option<Self> {
                $parse(text).ok()
            }

            fn from_binary(bytes: &'a [u8], column: &crate::Column) -> Option<Self> {
                $parse(&crate::value::binary::text(bytes, &column.binary)?).ok()
            }
        }
    };
}

#[cfg(feature = "bigdecimal")]
decimals!(
    bigdecimal::BigDecimal,
    "a BigDecimal",
    str::parse::<bigdecimal::BigDecimal>
);

#[cfg(feature = "rust_decimal")]
decimals!(
    rust_decimal::Decimal,
    "a Decimal, which has up to 28 digits",
    rust_decimal::Decimal::from_str_exact
);
