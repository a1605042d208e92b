//! Enumerations that travel as an unsigned integer.

/// Declares an enum whose variants are the numbers on the wire; any other number is refused.
macro_rules! wire_choice {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$vmeta:meta])* $variant:ident = $number:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        $vis enum $name { $($(#[$vmeta])* $variant),* }

        impl $name {
            /// The number on the wire.
            $vis const fn number(self) -> u8 {
                match self { $(Self::$variant => $number),* }
            }

            /// The value with this number, if there is one.
            $vis const fn from_number(number: u64) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }
        }

        impl $crate::wire::Wire<'_> for $name {
            fn write(&self, writer: &mut $crate::wire::Writer<'_>) {
                writer.unsigned(u64::from(self.number()));
            }
            fn read(reader: &mut $crate::wire::Reader<'_>) -> Result<Self, $crate::error::Malformed> {
                Self::from_number(reader.unsigned()?).ok_or($crate::error::Malformed::OutOfRange)
            }
        }
    };
}

pub(crate) use wire_choice;
