import CLigerABI
import LigerRuntime
import Tile

/// What a `liger_call` is: a recorded operation and its outputs' names as C sees them.
final class Call: Sendable {
    let recorded: RecordedCall
    let outputNames: [StaticString]

    init(_ operation: Operation, device: Device, inputs: [liger_array], options: [liger_option]) throws {
        let recorder = CallRecorder(for: device)
        var arrays: [String: NDArray] = [:]
        for input in inputs {
            let name = String(cString: input.name)
            if arrays[name] != nil { throw RuntimeError("the input '\(name)' is given twice. Give it once") }
            arrays[name] = try recorder.argument(name, input)
        }
        let arguments = try Arguments(operation.signature, arrays: arrays, options: options)
        let outputs = try operation.outputs(arguments)
        outputNames = outputs.map(\.name)
        recorded = try recorder.finish(
            outputs: outputs.map(\.array), of: operation.signature.name.description,
            names: outputNames.map(\.description))
    }
}

extension Operation {
    /// Runs the operation; the outputs that are there.
    ///
    /// - Throws: what the operation throws; an error of this library if it gives what its signature does not say.
    fileprivate func outputs(_ arguments: Arguments) throws -> [(name: StaticString, array: NDArray)] {
        let results = try body(arguments)
        guard results.count == signature.outputs.count else {
            throw mismatch("gave \(results.count) outputs, not \(signature.outputs.count)")
        }
        return try zip(signature.outputs, results).compactMap { output, array in
            guard (array != nil) == arguments.hold(output.conditions) else {
                throw mismatch("\(array == nil ? "left out" : "gave") the output '\(output.name)'")
            }
            guard let array else { return nil }
            let (shape, type) = (arguments.shape(of: output), arguments.type(of: output))
            guard array.shape == shape, array.dtype == type else {
                let expected = "\(type?.rawValue ?? "no type") of shape \(shape)"
                throw mismatch(
                    "gave '\(output.name)' as \(array.dtype.rawValue) of shape \(array.shape), not \(expected)"
                )
            }
            return (output.name, array)
        }
    }

    private func mismatch(_ what: String) -> ABIError {
        ABIError(
            status: LIGER_INTERNAL, description: "\(signature.name) \(what), which its signature does not say"
        )
    }
}

extension CallRecorder {
    fileprivate func argument(_ name: String, _ array: liger_array) throws -> NDArray {
        guard let dtype = DType(code: array.dtype), (0...LIGER_MAX_RANK).contains(array.rank) else {
            throw RuntimeError(
                "the input '\(name)' has type \(array.dtype) and rank \(array.rank). Give one of liger.h's types "
                    + "and a rank of 0 to \(LIGER_MAX_RANK)")
        }
        let (shape, strides) = array.sizes
        guard shape.allSatisfy({ $0 >= 0 }), strides.allSatisfy({ $0 >= 0 }) else {
            throw RuntimeError(
                "the input '\(name)' has shape \(shape) and strides \(strides). Give none below 0")
        }
        // Beyond the memory of any device, and what positions and byte counts can say.
        var elements = 1
        for size in shape where size > 0 {
            let (product, overflows) = elements.multipliedReportingOverflow(by: size)
            guard !overflows, product < 1 << 37, strides.allSatisfy({ $0 < 1 << 37 }) else {
                throw RuntimeError(
                    "the input '\(name)' has shape \(shape) and strides \(strides). Give fewer than 2^37 elements"
                )
            }
            elements = product
        }
        return argument(
            shape: shape, strides: strides, dtype: dtype,
            isAligned: array.alignment > 0 && array.alignment % 16 == 0)
    }
}

extension liger_array {
    /// Shape and strides up to the rank.
    var sizes: (shape: [Int], strides: [Int]) {
        func list(_ tuple: Any, _ values: UnsafeRawBufferPointer) -> [Int] {
            values.bindMemory(to: Int64.self).prefix(Int(rank)).map { Int($0) }
        }
        return (
            withUnsafeBytes(of: shape) { list(shape, $0) }, withUnsafeBytes(of: strides) { list(strides, $0) }
        )
    }
}

extension DType {
    private static let codes: [(Int32, DType)] = [
        (LIGER_F32, .f32), (LIGER_BF16, .bf16), (LIGER_F16, .f16), (LIGER_I32, .i32), (LIGER_I64, .i64),
        (LIGER_U32, .u32), (LIGER_U8, .u8),
    ]

    init?(code: Int32) {
        guard let found = Self.codes.first(where: { $0.0 == code }) else { return nil }
        self = found.1
    }

    /// liger.h's number for it.
    var code: Int32 { Self.codes.first { $0.1 == self }?.0 ?? -1 }
}
