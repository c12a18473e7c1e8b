package import Tile

/// Records one operation into a ``RecordedCall``.
///
///     let recorder = CallRecorder(for: device)
///     let x = recorder.argument(shape: [8, 64], dtype: .f32)
///     let call = try recorder.finish(outputs: [try Softmax.forward(x)])
///
/// The arrays an operation returns become the call's outputs, what else it takes becomes its workspace.
package final class CallRecorder {
    private let device: Device
    private let recording = Recording()
    private let standIn: Device
    private var slots: [CallSlot] = []

    package init(for device: Device) {
        self.device = device
        standIn = Device(recording: recording, for: device)
    }

    /// An array that is handed in when the call is run; the order of these calls is that of the addresses.
    ///
    /// - Parameters:
    ///   - strides: in elements; nil for a contiguous array.
    ///   - isAligned: whether it will start at a multiple of 16 bytes, for which kernels are faster.
    package func argument(
        shape: [Int], strides: [Int]? = nil, dtype: DType, isAligned: Bool = true
    ) -> NDArray {
        let strides = strides ?? NDArray.contiguousStrides(shape)
        let count = shape.reduce(1, *)
        let span = zip(shape, strides).reduce(1) { $0 + ($1.0 - 1) * $1.1 }
        let bytes = count == 0 ? 0 : span * dtype.byteCount
        let place = recording.argument(bytes, misalignment: isAligned ? 0 : dtype.byteCount)
        slots.append(
            CallSlot(
                piece: Recording.place(place).piece, byteCount: bytes, isWritten: false,
                alignment: isAligned && device.cuda != nil ? 16 : dtype.byteCount))
        let buffer = Buffer(borrowing: place, byteCount: bytes, device: standIn)
        return NDArray(buffer: buffer, offset: 0, shape: shape, strides: strides, dtype: dtype)
    }

    /// The call.
    ///
    /// - Parameter outputs: arrays that the operation made, in the order of their addresses.
    /// - Throws: `RuntimeError` if one of them is not an array of its own; an error of the device.
    package func finish(outputs: [NDArray]) throws -> RecordedCall {
        let alignment = device.cuda == nil ? 64 : 256
        for output in outputs {
            let array = RecordedArray(output)
            let isTaken = !slots.contains { $0.piece == array.piece }
            guard isTaken, array.byteOffset == 0, output.isContiguous,
                output.byteCount == output.buffer.byteCount
            else { throw RuntimeError("an operation returned a part of an array, or one of its arguments") }
            slots.append(
                CallSlot(
                    piece: array.piece, byteCount: output.byteCount, isWritten: true,
                    alignment: device.cuda == nil ? output.dtype.byteCount : 16))
        }
        let recorded = recording.recorded
        let plan = WorkspacePlan(recorded, except: Set(slots.map(\.piece)), alignment: alignment)
        if plan.byteCount > 0 {
            slots.append(
                CallSlot(piece: -1, byteCount: plan.byteCount, isWritten: true, alignment: alignment))
        }
        var places = plan.offsets.mapValues { CallPlace(slot: slots.count - 1, byteOffset: $0) }
        for (i, slot) in slots.enumerated() where slot.piece >= 0 {
            places[slot.piece] = CallPlace(slot: i, byteOffset: 0)
        }
        let steps = try recorded.steps.map { try CallStep($0, places, device) }
        return RecordedCall(
            device: device, slots: slots, workspaceBytes: plan.byteCount,
            outputs: outputs.map { CallOutput(shape: $0.shape, dtype: $0.dtype) }, steps: steps)
    }
}

/// Memory that a call is run with.
struct CallSlot: Sendable {
    /// The piece of the recording that it replaces; -1 for the workspace, which replaces many.
    let piece: Int
    let byteCount: Int
    let isWritten: Bool
    let alignment: Int
}

/// An array that a call writes and its caller provides.
package struct CallOutput: Sendable {
    package let shape: [Int]
    package let dtype: DType
}

/// Where something lies, once the slots' addresses are known.
struct CallPlace: Sendable {
    let slot: Int
    let byteOffset: Int
}

/// Where the pieces that an operation takes and gives up lie in its workspace: each at the lowest place that is
/// free for as long as it lives.
struct WorkspacePlan {
    private(set) var offsets: [Int: Int] = [:]
    private(set) var byteCount = 0

    init(_ recorded: Recording.State, except others: Set<Int>, alignment: Int) {
        var live: [(piece: Int, range: Range<Int>)] = []
        for event in recorded.events {
            switch event {
            case .givenUp(let piece): live.removeAll { $0.piece == piece }
            case .taken(let piece):
                if others.contains(piece) { continue }
                let size = (max(recorded.pieces[piece].byteCount, 1) + alignment - 1) / alignment * alignment
                var start = 0
                var position = 0
                for (i, other) in live.enumerated() {
                    if other.range.lowerBound >= start + size { break }
                    start = max(start, other.range.upperBound)
                    position = i + 1
                }
                live.insert((piece, start..<(start + size)), at: position)
                offsets[piece] = start
                byteCount = max(byteCount, start + size)
            }
        }
    }
}
