//! The id of a host: the first of several sources that has one.

use super::{ec2, line};
use crate::host::HostPaths;

/// Ids of the installation, which survive restarts.
const MACHINE_ID: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// The id of the board. Root alone may read it.
const PRODUCT_UUID: &str = "/sys/devices/virtual/dmi/id/product_uuid";

/// Product UUIDs that vendors give to many boards.
const SHARED_UUIDS: [&str; 5] = [
    "00020003-0004-0005-0006-000700080009",
    "03000200-0400-0500-0006-000700080009",
    "03020100-0504-0706-0809-0a0b0c0d0e0f",
    "12345678-1234-5678-90ab-cddeefaabbcc",
    "fefefefe-fefe-fefe-fefe-fefefefefefe",
];

/// An id and where it comes from.
pub(super) struct Id {
    pub(super) value: String,
    pub(super) source: &'static str,
}

/// The id of a host with this name, which is the last resort.
pub(super) fn find(paths: &HostPaths, name: Option<&str>) -> Option<Id> {
    let id = |value: Option<String>, source| value.map(|value| Id { value, source });
    id(ec2::instance_id(paths), "the EC2 instance id")
        .or_else(|| {
            let mut known = MACHINE_ID.iter().filter_map(|path| line(paths, path));
            id(known.find(|value| is_id(value)), "the machine id")
        })
        .or_else(|| {
            let uuid = line(paths, PRODUCT_UUID).map(|uuid| uuid.to_ascii_lowercase());
            let is_own = |uuid: &String| is_id(uuid) && !SHARED_UUIDS.contains(&uuid.as_str());
            id(uuid.filter(is_own), "the DMI product UUID")
        })
        .or_else(|| id(name.map(str::to_owned), "the host name"))
}

/// Whether a text is 32 hexadecimal digits, in groups or not, and not one digit over and over: images
/// have a machine id of `uninitialized`, or of zeros.
fn is_id(text: &str) -> bool {
    let plain = || text.chars().filter(|sign| *sign != '-');
    let first = plain().next();
    plain().count() == 32
        && plain().all(|sign| sign.is_ascii_hexdigit())
        && plain().any(|sign| Some(sign) != first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::scratch::Scratch;

    #[test]
    fn the_first_source_with_an_id_is_taken() {
        const ID: &str = "0123456789abcdef0123456789abcdef";
        const UUID: &str = "4C4C4544-0043-3010-8052-B4C04F563258";
        const ZEROS: &str = "00000000000000000000000000000000";
        for (number, (machine, product, expected)) in [
            (ID, UUID, ("the machine id", ID)),
            ("", UUID, ("the DMI product UUID", "4c4c4544-0043-3010-8052-b4c04f563258")),
            (
                "uninitialized",
                UUID,
                ("the DMI product UUID", "4c4c4544-0043-3010-8052-b4c04f563258"),
            ),
            (ZEROS, "00000000-0000-0000-0000-000000000000", ("the host name", "golden")),
            (ZEROS, "03000200-0400-0500-0006-000700080009", ("the host name", "golden")),
            ("", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", ("the host name", "golden")),
            ("", "Not Settable", ("the host name", "golden")),
            ("", "", ("the host name", "golden")),
        ]
        .into_iter()
        .enumerate()
        {
            let scratch = Scratch::new(&format!("resource-id-{number}"));
            scratch.write("root/etc/machine-id", &format!("{machine}\n"));
            scratch.write("sys/devices/virtual/dmi/id/product_uuid", &format!("{product}\n"));
            let paths = HostPaths {
                proc: scratch.path("proc"),
                sys: scratch.path("sys"),
                root: scratch.path("root"),
            };
            let found = find(&paths, Some("golden")).unwrap();
            assert_eq!((found.source, &*found.value), expected, "{machine} {product}");
        }
    }
}
