//! Enumerations whose values are places in arrays and have a name each.

/// Declares such an enumeration: `Value = "name"` for each value, in the order of their places.
macro_rules! named {
    (
        $(#[$attr:meta])*
        pub enum $enum:ident { $($(#[$value_attr:meta])* $value:ident = $name:literal),+ $(,)? }
    ) => {
        $(#[$attr])*
        #[repr(usize)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $enum { $($(#[$value_attr])* $value),+ }

        impl $enum {
            /// Number of values.
            pub const COUNT: usize = [$($name),+].len();
            /// The names, by the values' places.
            pub const NAMES: [&'static str; Self::COUNT] = [$($name),+];
        }
    };
}

pub(crate) use named;
