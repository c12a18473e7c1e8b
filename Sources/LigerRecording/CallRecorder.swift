package import LigerArrays
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
    private let recording: Recording
    private let standIn: Device
    private var slots: [CallSlot] = []

    package init(for device: Device) {
        self.device = device
        recording = Recording(for: device)
        standIn = Device(recording)
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
                piece: recording.place(place).piece, byteCount: bytes, isWritten: false,
                alignment: isAligned ? alignment(of: dtype) : dtype.byteCount))
        let buffer = Buffer(borrowing: place, byteCount: bytes, device: standIn)
        return NDArray(buffer: buffer, offset: 0, shape: shape, strides: strides, dtype: dtype)
    }

    /// Of the first element of an array that starts where kernels are fastest.
    private func alignment(of dtype: DType) -> Int { max(device.traits.vectorBytes, dtype.byteCount) }

    /// The call.
    ///
    /// - Parameters:
    ///   - outputs: arrays that the operation made, in the order of their addresses.
    ///   - operation: what messages call it.
    ///   - names: what they call the outputs; nil for their numbers.
    /// - Throws: `RuntimeError` if one of them is not an array of its own, or the operation did what cannot be
    ///   recorded; an error of the device.
    package func finish(
        outputs: [NDArray], of operation: String = "the operation", names: [String]? = nil
    ) throws -> RecordedCall {
        let recorded = try recording.recorded()
        for (i, output) in outputs.enumerated() {
            if let fault = fault(of: output) {
                let name = names.map { "'\($0[i])'" } ?? "\(i)"
                throw RuntimeError("\(operation) returned as output \(name) \(fault)")
            }
            slots.append(
                CallSlot(
                    piece: recording.place(output.address).piece, byteCount: output.byteCount,
                    isWritten: true,
                    alignment: alignment(of: output.dtype)))
        }
        let plan = WorkspacePlan(
            recorded, except: Set(slots.map(\.piece)), alignment: device.traits.blockAlignment)
        if plan.byteCount > 0 {
            slots.append(
                CallSlot(
                    piece: -1, byteCount: plan.byteCount, isWritten: true,
                    alignment: device.traits.blockAlignment))
        }
        var starts = plan.offsets.mapValues { CallPlace(slot: slots.count - 1, byteOffset: $0) }
        for (i, slot) in slots.enumerated() where slot.piece >= 0 {
            starts[slot.piece] = CallPlace(slot: i, byteOffset: 0)
        }
        let places = CallPlaces(starts)
        return RecordedCall(
            device: device, slots: slots, workspaceBytes: plan.byteCount,
            outputs: outputs.map { CallOutput(shape: $0.shape, dtype: $0.dtype) },
            steps: try recorded.steps.map { try $0.prepared(places, on: device.backend) })
    }

    /// Why the caller of a call could not provide the memory of an output, and what to return instead.
    private func fault(of output: NDArray) -> String? {
        guard output.device === standIn else {
            return "an array that does not belong to the call. Make it on the device of the arguments"
        }
        let place = recording.place(output.address)
        if let slot = slots.first(where: { $0.piece == place.piece }) {
            return slot.isWritten
                ? "an array that is another output too. Return each array once, or a copy (`copyBytes(to:)`)"
                : "one of its arguments. Return an array that it made, or a copy (`copyBytes(to:)`)"
        }
        if place.byteOffset == 0, output.isContiguous, output.byteCount == output.buffer.byteCount {
            return nil
        }
        return
            "a part of an array, of shape \(output.shape) with strides \(output.strides). Make an array for it "
            + "alone (`NDArray(empty:)`) and have the kernel write there"
    }
}
