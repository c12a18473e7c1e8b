internal import CLigerABI

/// The package's version, such as "0.8.5".
package enum Version {
    package static var text: String { liger_version().map { String(cString: $0) } ?? "" }
}
