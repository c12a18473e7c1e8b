internal import LigerRuntime
internal import Tile

/// Losses and gradient norms of steps, kept on the device until somebody wants to know them.
///
/// A GPU may be some steps behind the program that hands it work; asking for a number waits for it. So numbers
/// are put side by side in one array, and read with one copy for all steps since the last time.
final class StepResults {
    /// How many steps fit; they must be read then.
    static let capacity = 64

    /// A step that was handed to the device.
    private struct Pending {
        let number: Int
        let learningRate: Double
    }

    /// [capacity, parts + 1], f32: a step's losses, part by part, then its norm.
    private let numbers: NDArray
    private let parts: Int
    private var pending: [Pending] = []

    /// - Parameter parts: forward passes of a step.
    init(parts: Int, device: Device) throws {
        self.parts = parts
        numbers = try NDArray(empty: [Self.capacity, parts + 1], device: device)
    }

    /// Whether `read` must be called before the next step.
    var isFull: Bool { pending.count == Self.capacity }
    var isEmpty: Bool { pending.isEmpty }

    /// Keeps the loss of a part of the present step: one f32.
    func keep(loss: NDArray, part: Int) throws { try keep(loss, at: part) }

    /// Keeps the norm of the present step's gradients, one f32, and ends the step.
    func endStep(number: Int, norm: NDArray, learningRate: Double) throws {
        try keep(norm, at: parts)
        pending.append(Pending(number: number, learningRate: learningRate))
    }

    private func keep(_ number: NDArray, at column: Int) throws {
        precondition(!isFull, "results must be read before the next step")
        let place = numbers.sliced(0, pending.count..<pending.count + 1).sliced(1, column..<column + 1)
        try number.reshaped([1, 1]).copyBytes(to: place)
    }

    /// The steps since the last call, in order. Waits for the device.
    ///
    /// - Throws: what went wrong on the device in any of these steps.
    func read() throws -> [Learner.Step] {
        defer { pending = [] }
        if pending.isEmpty { return [] }
        let values = try numbers.sliced(0, 0..<pending.count).hostValues()
        return pending.enumerated().map { row, step in
            let own = values[row * (parts + 1)..<(row + 1) * (parts + 1)]
            return Learner.Step(
                number: step.number, loss: own.dropLast().reduce(0, +), gradientNorm: own.last ?? .nan,
                learningRate: step.learningRate)
        }
    }
}
