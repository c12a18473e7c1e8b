import LigerNN
package import LigerRuntime
package import Tile

#if canImport(FoundationEssentials)
    package import FoundationEssentials
#else
    package import Foundation
#endif

extension Checkpoint {
    /// A tensor as an array of the type it is stored in. Throws as `entry` does, and `RuntimeError` when
    /// memory runs out.
    package func array(_ name: String, device: Device = .cpu) throws -> NDArray {
        try NDArray(entry(of: name), device: device) { try read(name, into: $0) }
    }
}

extension SafetensorsFile {
    /// A tensor as an array of the type it is stored in. Throws as `entry` does, and `RuntimeError` when
    /// memory runs out.
    package func array(_ name: String, device: Device = .cpu) throws -> NDArray {
        try NDArray(entry(of: name), device: device) { try read(name, into: $0) }
    }
}

extension TensorContent {
    /// An array to be written as `dtype`, in its own type by default. `url` stands for the output in messages.
    package init(_ name: String, _ array: NDArray, storedAs dtype: DType? = nil, in url: URL) {
        let dtype = dtype ?? array.dtype
        self.init(name: name, dtype: dtype, shape: array.shape) { consume in
            let stored = try array.converted(to: dtype, name: name, file: url.path)
            try withExtendedLifetime(stored) {
                try consume(UnsafeRawBufferPointer(start: stored.address, count: stored.byteCount))
            }
        }
    }
}

extension NDArray {
    fileprivate init(
        _ entry: TensorEntry, device: Device, read: (UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        guard let dtype = entry.dtype else { preconditionFailure("entries are checked when asked for") }
        try self.init(empty: entry.shape, dtype: dtype, device: device)
        try read(UnsafeMutableRawBufferPointer(start: address, count: byteCount))
    }

    /// The same numbers in another floating-point type, each rounded once, to nearest; itself if it is of
    /// that type. Throws `CheckpointError` if a number is beyond the range of f16, the only narrow one.
    func converted(to dtype: DType, name: String, file: String) throws -> NDArray {
        if dtype == self.dtype { return self }
        let result = try Elementwise.cast(self, to: dtype)
        if dtype == .f16, result.infinityCount != infinityCount {
            throw CheckpointError(
                file, "tensor \(CheckpointError.quoted(name))", found: "numbers beyond 65504",
                expected: "numbers within the range of f16",
                advice: "Use bf16 or f32, which reach further.")
        }
        return result
    }

    private var infinityCount: Int {
        switch dtype {
        case .f32: bits(UInt32.self).count { $0 & 0x7FFF_FFFF == 0x7F80_0000 }
        case .bf16: bits(UInt16.self).count { $0 & 0x7FFF == 0x7F80 }
        case .f16: bits(UInt16.self).count { $0 & 0x7FFF == 0x7C00 }
        default: 0
        }
    }

    /// The elements' bits, valid as long as the array.
    private func bits<Word>(_ type: Word.Type) -> UnsafeBufferPointer<Word> {
        UnsafeBufferPointer(start: address.assumingMemoryBound(to: type), count: count)
    }
}
