package import LigerRuntime

extension TrainingOptions {
    /// Where training runs: the processor, or a GPU by its number.
    public struct Device: Sendable, Hashable, Codable, CustomStringConvertible {
        /// `cpu`, or `cuda:0`, `hip:0` and so on.
        public let name: String

        /// This machine's processor.
        public static let cpu = Device(name: "cpu")

        private static let gpus = ["cuda", "hip"]

        private init(name: String) { self.name = name }

        /// `cpu`, `cuda` or `hip` for the first GPU of NVIDIA's or AMD's, or `cuda:1` and so on; nil for any other text. Whether this machine
        /// has such a GPU shows when a run opens it.
        public init?(_ text: String) {
            if text == "cpu" || Self.gpus.contains(text) {
                self.init(name: text == "cpu" ? text : text + ":0")
                return
            }
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, Self.gpus.contains(String(parts[0])), let number = Int(parts[1]),
                number >= 0,
                parts[1] == "\(number)"
            else { return nil }
            self.init(name: text)
        }

        /// Reads what `description` says.
        public init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            let text = try container.decode(String.self)
            guard let device = Device(text) else {
                throw DecodingError.dataCorruptedError(
                    in: container, debugDescription: "no device is named \(text)")
            }
            self = device
        }

        /// Writes `description`.
        public func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(name)
        }

        /// The name.
        public var description: String { name }

        /// `cpu`, `cuda` or `hip`: kernels of one kind round alike, on whichever GPU of a machine they run.
        var kind: String { String(name.prefix { $0 != ":" }) }

        /// The device itself.
        ///
        /// - Throws: an error that says what this machine has if it has no such device.
        package func open() throws -> LigerRuntime.Device { try .named(name) }
    }
}
