import LigerModels
import TestSupport

/// Tensors of random bytes over every element type and the odd shapes.
enum SampleTensors {
    /// A scalar, no element, one element, no element with other extents, and odd sizes.
    static let shapes: [[Int]] = [[], [0], [1], [3, 0, 5], [7], [2, 3], [1, 17, 3]]

    static let types = ["BOOL", "U8", "F16", "BF16", "I32", "U32", "F32", "I64"].map { StoredType($0) }

    struct Sample {
        let name: String
        let type: StoredType
        let shape: [Int]
        let bytes: [UInt8]

        var content: TensorContent {
            TensorContent(name: name, storedType: type, shape: shape, bytes: bytes)
        }
    }

    /// One tensor per type and shape, in an order that is not the one files use.
    static func all(seed: UInt64) -> [Sample] {
        var random = SeededGenerator(seed: seed)
        var samples: [Sample] = []
        for type in types {
            for (index, shape) in shapes.enumerated() {
                let count = shape.reduce(1, *) * (type.bitCount ?? 0) / 8
                var bytes = random.bytes(count)
                // A truth value other than 0 and 1 is not one in every reader.
                if type == .bool { bytes = bytes.map { $0 & 1 } }
                samples.append(
                    Sample(
                        name: "layer.\(type.rawValue.lowercased()).\(index)", type: type, shape: shape,
                        bytes: bytes))
            }
        }
        return samples.shuffled(using: &random)
    }

    static func bytes(of name: String, in file: SafetensorsFile) throws -> [UInt8] {
        try file.withBytes(of: name) { Array($0) }
    }

    static func bytes(of name: String, in checkpoint: Checkpoint) throws -> [UInt8] {
        try checkpoint.withBytes(of: name) { Array($0) }
    }

    /// A file with this header text in front of `data` bytes of zeros.
    static func file(header: String, dataByteCount: Int) -> [UInt8] {
        file(header: Array(header.utf8), dataByteCount: dataByteCount)
    }

    static func file(header: [UInt8], dataByteCount: Int) -> [UInt8] {
        let length = (0..<8).map { UInt8(truncatingIfNeeded: header.count >> (8 * $0)) }
        return length + header + [UInt8](repeating: 0, count: dataByteCount)
    }
}

extension StoredType {
    init(_ name: String) { self.init(rawValue: name) }
}
