// SPDX-License-Identifier: MIT OR Apache-2.0

//! Tables of keys: how a struct's fields stand in the compiled manifest, written and read by one
//! declaration of each.
//!
//! A table is a node of a device tree and a key is one of its properties, or a node below it for a
//! table in the table. [`table!`] declares a struct with the key of each field; the field's type
//! says by [`Value`] what bytes the key has.

use crate::blob::{ManifestError, damaged};
use crate::{Devices, Dialect, Policy};
use fdt::helpers::UnalignedFallibleNode as Node;
use fdt::nodes::NodeProperty;
use platform::Conduit;

#[cfg(feature = "host")]
use vm_fdt::{Error as WriteError, FdtWriter};

/// A node read as a table, and the guest whose it is.
pub struct Table<'a> {
    node: Node<'a>,
    guest: &'a str,
}

/// A key that a table may have.
pub struct Key {
    name: &'static str,
    is_table: bool,
}

impl Key {
    /// Returns the key `name` of a field of type `T`.
    pub const fn of<'a, T: Value<'a>>(name: &'static str) -> Self {
        let is_table = T::IS_TABLE;
        Self { name, is_table }
    }
}

/// A struct whose fields are keys.
pub trait Keys<'a>: Sized {
    /// Its keys.
    const KEYS: &'static [Key];

    /// Reads the fields. [`Table::has_only`] looks for others first.
    fn read(table: &Table<'a>) -> Result<Self, ManifestError<'a>>;

    /// Writes the fields into the node that is open.
    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter) -> Result<(), WriteError>;
}

/// What a field's type is in a table.
pub trait Value<'a>: Sized {
    /// Whether it is a table below, not a property.
    const IS_TABLE: bool = false;

    /// Reads the key, which may be absent if the type allows it.
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>>;

    /// Writes the key into the node that is open.
    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError>;
}

/// Declares a struct whose fields are the keys of a table. A field in `node` is the node's name.
/// Tables below come last: a device tree has a node's properties first.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $vis:vis struct $table:ident $(<$life:lifetime>)? {
            $(node { $(#[$name_doc:meta])* pub $name:ident: $name_type:ty })?
            $($(#[$field_doc:meta])* pub $field:ident: $type:ty = $key:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        $vis struct $table $(<$life>)? {
            $($(#[$name_doc])* pub $name: $name_type,)?
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl<'a> $crate::table::Keys<'a> for $table $(<$life>)? {
            const KEYS: &'static [$crate::table::Key] =
                &[$($crate::table::Key::of::<$type>($key)),*];

            fn read(
                table: &$crate::table::Table<'a>,
            ) -> Result<Self, $crate::ManifestError<'a>> {
                Ok(Self {
                    $($name: table.guest(),)?
                    $($field: $crate::table::Value::read(table, $key)?,)*
                })
            }

            #[cfg(feature = "host")]
            fn write(&self, tree: &mut vm_fdt::FdtWriter) -> Result<(), vm_fdt::Error> {
                $($crate::table::Value::write(&self.$field, tree, $key)?;)*
                Ok(())
            }
        }
    };
}
pub(crate) use table;

impl<'a> Table<'a> {
    /// Returns the root, which is no guest's.
    pub fn root(node: Node<'a>) -> Self {
        Self { node, guest: "" }
    }

    /// Returns a guest's table; its node's name is the guest's.
    pub fn of_guest(node: Node<'a>) -> Result<Self, ManifestError<'a>> {
        let name = node.name().map_err(damaged)?;
        let guest = name.name;
        match name.unit_address {
            None => Ok(Self { node, guest }),
            Some(_) => Err(ManifestError::Malformed(guest, "name")),
        }
    }

    /// Returns the name of the guest whose table this is.
    pub fn guest(&self) -> &'a str {
        self.guest
    }

    /// Refuses keys and tables that are not among `known`: a limit that was passed over would be no
    /// limit.
    pub fn has_only(&self, known: &[Key]) -> Result<(), ManifestError<'a>> {
        self.has_only_properties(known)?;
        for node in self.node.children().map_err(damaged)?.iter() {
            let name = node.map_err(damaged)?.name().map_err(damaged)?;
            let mut tables = known.iter().filter(|key| key.is_table);
            let is_known = tables.any(|key| key.name == name.name);
            if !is_known || name.unit_address.is_some() {
                return Err(ManifestError::UnknownKey(self.guest, name.name));
            }
        }
        Ok(())
    }

    /// Refuses keys that are not among `known`; what tables there are is not looked at.
    pub fn has_only_properties(&self, known: &[Key]) -> Result<(), ManifestError<'a>> {
        for property in self.node.properties().map_err(damaged)?.iter() {
            let NodeProperty { name, .. } = property.map_err(damaged)?;
            let mut keys = known.iter().filter(|key| !key.is_table);
            if !keys.any(|key| key.name == name) {
                return Err(ManifestError::UnknownKey(self.guest, name));
            }
        }
        Ok(())
    }

    fn malformed(&self, key: &'static str) -> ManifestError<'a> {
        ManifestError::Malformed(self.guest, key)
    }

    fn find(&self, key: &'static str) -> Result<Option<&'a [u8]>, ManifestError<'a>> {
        let property = self.node.raw_property(key).map_err(damaged)?;
        Ok(property.map(|property| property.value))
    }

    fn bytes(&self, key: &'static str) -> Result<&'a [u8], ManifestError<'a>> {
        self.find(key)?.ok_or(self.malformed(key))
    }

    fn array<const N: usize>(&self, key: &'static str) -> Result<[u8; N], ManifestError<'a>> {
        let bytes = self.bytes(key)?.try_into();
        bytes.map_err(|_| self.malformed(key))
    }

    /// Returns the table below that is called `key`, there once at most.
    fn below(&self, key: &'static str) -> Result<Option<Self>, ManifestError<'a>> {
        let mut found = None;
        for node in self.node.children().map_err(damaged)?.iter() {
            let node = node.map_err(damaged)?;
            let guest = self.guest;
            let is_it = node.name().map_err(damaged)?.name == key;
            if is_it && found.replace(Self { node, guest }).is_some() {
                return Err(self.malformed(key));
            }
        }
        Ok(found)
    }
}

/// One cell.
impl<'a> Value<'a> for u32 {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        table.array(key).map(Self::from_be_bytes)
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        tree.property_u32(key, *self)
    }
}

/// Two cells.
impl<'a> Value<'a> for u64 {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        table.array(key).map(Self::from_be_bytes)
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        tree.property_u64(key, *self)
    }
}

/// One cell, 0 or 1.
impl<'a> Value<'a> for bool {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        match u32::read(table, key)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(table.malformed(key)),
        }
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        tree.property_u32(key, u32::from(*self))
    }
}

/// UTF-8 and a NUL.
impl<'a> Value<'a> for &'a str {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        let text = table.bytes(key)?.strip_suffix(&[0]);
        let text = text.and_then(|text| core::str::from_utf8(text).ok());
        text.ok_or(table.malformed(key))
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        tree.property_string(key, self)
    }
}

/// A byte for each; an absent list is empty.
impl<'a> Value<'a> for &'a [u8] {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        Ok(table.find(key)?.unwrap_or_default())
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        tree.property(key, self)
    }
}

/// UUIDs, one behind the other; an absent list is empty.
impl<'a> Value<'a> for &'a [[u8; 16]] {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        match <&[u8]>::read(table, key)?.as_chunks() {
            (uuids, []) => Ok(uuids),
            _ => Err(table.malformed(key)),
        }
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        tree.property(key, self.as_flattened())
    }
}

/// A list of strings; an absent one is empty.
impl<'a> Value<'a> for Devices<'a> {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        Ok(Self::new(Option::read(table, key)?.unwrap_or_default()))
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        let joined = Some(self.joined()).filter(|joined| !joined.is_empty());
        // `property_string` takes no NUL, which is between two names.
        joined.map_or(Ok(()), |joined| {
            tree.property(key, &[joined.as_bytes(), b"\0"].concat())
        })
    }
}

/// A value that may be absent.
macro_rules! optional {
    ($($type:ty),*) => {$(
        impl<'a> Value<'a> for Option<$type> {
            fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
                let value = table.find(key)?.map(|_| Value::read(table, key));
                value.transpose()
            }

            #[cfg(feature = "host")]
            fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
                self.map_or(Ok(()), |value| value.write(tree, key))
            }
        }
    )*};
}
optional!(u32, &'a str);

/// A table below that may be absent.
impl<'a, T: Keys<'a>> Value<'a> for Option<T> {
    const IS_TABLE: bool = true;

    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        let below = table.below(key)?;
        let read = |table: Table<'a>| {
            table.has_only(T::KEYS)?;
            T::read(&table)
        };
        below.map(read).transpose()
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        let Some(table) = self else { return Ok(()) };
        let node = tree.begin_node(key)?;
        table.write(tree)?;
        tree.end_node(node)
    }
}

/// One of a few words.
pub trait Word: Copy + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// Returns the word as users write it.
    fn name(self) -> &'static str;

    /// Returns the one that is called `name`.
    fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|word| word.name() == name)
    }
}

impl Word for Conduit {
    const ALL: &'static [Self] = &Conduit::ALL;

    fn name(self) -> &'static str {
        self.name()
    }
}

impl Word for Dialect {
    const ALL: &'static [Self] = &[Self::Modern, Self::Classic];

    fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Classic => "classic",
        }
    }
}

impl Word for Policy {
    const ALL: &'static [Self] = &[Self::Stop, Self::Restart];

    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Restart => "restart",
        }
    }
}

impl<'a, T: Word> Value<'a> for T {
    fn read(table: &Table<'a>, key: &'static str) -> Result<Self, ManifestError<'a>> {
        let name = <&str>::read(table, key)?;
        T::named(name).ok_or(table.malformed(key))
    }

    #[cfg(feature = "host")]
    fn write(&self, tree: &mut FdtWriter, key: &str) -> Result<(), WriteError> {
        tree.property_string(key, self.name())
    }
}
