/// A failure of devices, memory or arguments handed to them: what was wrong and what to do.
public struct RuntimeError: Error, CustomStringConvertible {
    /// What a caller in another language tells apart.
    package enum Kind: Sendable {
        case argument, memory, device, library
    }

    public let description: String
    package let kind: Kind

    package init(_ description: String, kind: Kind = .argument) {
        self.description = description
        self.kind = kind
    }
}
