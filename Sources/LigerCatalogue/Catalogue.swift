import LigerABI
package import LigerRuntime

/// An operation that the command line lists, checks and times.
package protocol Catalogued {
    static var entry: CatalogueEntry { get }
    /// Further entries, such as other formulas of a loss.
    static var others: [CatalogueEntry] { get }
}

extension Catalogued {
    package static var others: [CatalogueEntry] { [] }
}

/// Every operation, in the order of the library's index.
package enum Catalogue {
    package static let entries: [CatalogueEntry] = OperationFamily.all.flatMap { family in
        (family.type as? any Catalogued.Type).map { [$0.entry] + $0.others } ?? []
    }

    /// Entries and, on a GPU, other ways to the same results, side by side.
    package static func withAlternatives(_ entries: [CatalogueEntry], on device: Device) -> [CatalogueEntry] {
        device.runsBehind ? entries.flatMap { [$0] + $0.alternatives } : entries
    }

    /// The entry of a name.
    package static func entry(_ name: String) -> CatalogueEntry? {
        entries.first { $0.name.lowercased() == name.lowercased() }
    }
}
