import LigerKernels
package import LigerRuntime
import LigerText
import Platform
import Tile

// Arrays go to files and come from them in pieces, through host memory of a piece's size, on whichever device they are.

/// Bytes of a piece: enough for full speed, little compared with any model.
private let pieceBytes = 16 << 20

extension Checkpoint {
    /// A tensor as an array of the type it is stored in. Throws as `entry` does, and `RuntimeError` when
    /// memory runs out.
    package func array(_ name: String, device: Device = .cpu) throws -> NDArray {
        let array = try NDArray(like: entry(of: name), device: device)
        try read(name, into: array)
        return array
    }

    /// Overwrites a contiguous array of the tensor's shape with its numbers, each rounded once, to nearest,
    /// where the array is of another floating-point type.
    ///
    /// Throws as `entry` does; `CheckpointError` if a number is beyond the range of f16, the only narrow
    /// type; what a device throws. The array is partly overwritten then.
    ///
    /// - Parameter requiringNumbers: whether infinities and what is no number are refused too.
    package func read(_ name: String, into array: NDArray, requiringNumbers: Bool = false) throws {
        try array.fill(from: entry(of: name), named: name, in: url.path, requiringNumbers: requiringNumbers) {
            try read(name, from: $0, into: $1)
        }
    }
}

extension SafetensorsFile {
    /// A tensor as an array of the type it is stored in. Throws as `entry` does, and `RuntimeError` when
    /// memory runs out.
    package func array(_ name: String, device: Device = .cpu) throws -> NDArray {
        let array = try NDArray(like: entry(of: name), device: device)
        try read(name, into: array)
        return array
    }

    /// Overwrites a contiguous array with as many of the tensor's elements, from `first` on; as
    /// `Checkpoint.read(_:into:)`.
    package func read(_ name: String, from first: Int, into array: NDArray) throws {
        let entry = try entry(of: name)
        try array.fill(from: entry, elementsFrom: first, named: name, in: path) {
            try read(name, from: $0, into: $1)
        }
    }

    /// Overwrites a contiguous array of the tensor's shape; as `Checkpoint.read(_:into:)`.
    package func read(_ name: String, into array: NDArray, requiringNumbers: Bool = false) throws {
        try array.fill(from: entry(of: name), named: name, in: path, requiringNumbers: requiringNumbers) {
            try read(name, from: $0, into: $1)
        }
    }
}

extension NDArray {
    fileprivate init(like entry: TensorEntry, device: Device) throws {
        guard let dtype = entry.dtype else { preconditionFailure("entries are checked when asked for") }
        try self.init(empty: entry.shape, dtype: dtype, device: device)
    }

    /// So many elements in order, 16 MiB at a time; none if there are none.
    static func pieces(of count: Int, _ dtype: DType) -> [Range<Int>] {
        let step = pieceBytes / dtype.byteCount
        return stride(from: 0, to: count, by: step).map { $0..<Swift.min($0 + step, count) }
    }

    /// A contiguous array's elements in such pieces.
    fileprivate var pieces: [NDArray] {
        let flat = flattened
        return Self.pieces(of: count, dtype).map { flat.sliced(0, $0) }
    }

    /// Reads the file's bytes from an offset on, piece by piece.
    fileprivate func fill(
        from entry: TensorEntry, elementsFrom first: Int? = nil, named name: String, in file: String,
        requiringNumbers: Bool = false,
        read: (_ offset: Int, _ target: UnsafeMutableRawBufferPointer) throws -> Void
    ) throws {
        guard let stored = entry.dtype else { preconditionFailure("entries are checked when asked for") }
        precondition(first != nil || entry.shape == shape, "the tensor's shape")
        var offset = (first ?? 0) * stored.byteCount
        for piece in pieces {
            let host = try NDArray(empty: piece.shape, dtype: stored)
            try read(offset, UnsafeMutableRawBufferPointer(start: host.hostAddress(), count: host.byteCount))
            if requiringNumbers, let place = host.firstNonNumber {
                throw CheckpointError(
                    file, "tensor \(name.quoted)",
                    found: "\(try host.flattened.hostValues()[place]) as element "
                        + "\(offset / stored.byteCount + place)",
                    expected: "finite numbers alone",
                    advice:
                        "Nothing can be trained from it: fetch the weights again, or take an earlier state.")
            }
            offset += host.byteCount
            try host.converted(to: dtype, name: name, file: file).copyBytes(to: piece)
        }
    }

    /// The same numbers in another floating-point type, each rounded once, to nearest; itself if it is of
    /// that type. The array is in host memory. Throws `CheckpointError` if a number is beyond the range of
    /// f16, the only narrow one.
    func converted(to dtype: DType, name: String, file: String) throws -> NDArray {
        if dtype == self.dtype { return self }
        let result = try Cast.apply(self, to: dtype)
        if dtype == .f16, result.infinityCount != infinityCount {
            throw CheckpointError(
                file, "tensor \(name.quoted)", found: "numbers beyond 65504",
                expected: "numbers within the range of f16",
                advice: "Use bf16 or f32, which reach further.")
        }
        return result
    }

    /// The position of the first infinity, or of what is no number; the array is in host memory.
    private var firstNonNumber: Int? {
        switch dtype {
        case .f32: Self.firstNonNumber(bits(UInt32.self), exponent: 0x7F80_0000)
        case .bf16: Self.firstNonNumber(bits(UInt16.self), exponent: 0x7F80)
        case .f16: Self.firstNonNumber(bits(UInt16.self), exponent: 0x7C00)
        default: nil
        }
    }

    /// Looked for in the whole first, by a loop without branches.
    private static func firstNonNumber<Word: FixedWidthInteger>(
        _ words: UnsafeBufferPointer<Word>, exponent: Word
    ) -> Int? {
        var count = 0
        for word in words { count &+= word & exponent == exponent ? 1 : 0 }
        return count == 0 ? nil : words.firstIndex { $0 & exponent == exponent }
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
