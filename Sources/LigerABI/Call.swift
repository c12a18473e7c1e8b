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
        let arguments = Arguments(
            operation: operation.name, arrays: arrays,
            options: Dictionary(
                options.map { (String(cString: $0.name), OptionValue($0)) }, uniquingKeysWith: { $1 }))
        let results = try operation.body(arguments)
        try arguments.checkAllWereUsed()
        let outputs = zip(operation.outputs, results).compactMap { name, array in array.map { (name, $0) } }
        outputNames = outputs.map(\.0)
        recorded = try recorder.finish(
            outputs: outputs.map(\.1), of: operation.name.description,
            names: outputNames.map(\.description))
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
