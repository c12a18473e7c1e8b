internal import LigerRuntime
internal import Tile

/// Losses, gradient norms and the objective's numbers of steps, kept on the device until somebody wants to know them.
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
        let tokens: Int
    }

    /// [capacity, parts + 1 + parts figures], f32: a step's losses, part by part, its norm, then the figures, part
    /// by part.
    private let numbers: NDArray
    private let parts: Int
    private let figures: Int
    private var pending: [Pending] = []

    /// - Parameters:
    ///   - parts: forward passes of a step.
    ///   - figures: numbers of the objective in each.
    init(parts: Int, figures: Int, device: Device) throws {
        self.parts = parts
        self.figures = figures
        numbers = try NDArray(empty: [Self.capacity, parts * (1 + figures) + 1], device: device)
    }

    /// Whether `read` must be called before the next step.
    var isFull: Bool { pending.count == Self.capacity }
    var isEmpty: Bool { pending.isEmpty }

    /// Keeps the loss of a part of the present step: one f32.
    func keep(loss: NDArray, part: Int) throws { try keep(loss, at: part) }

    /// Keeps the objective's numbers of a part: `figures` f32 in all.
    func keep(figures arrays: [NDArray], part: Int) throws {
        precondition(arrays.reduce(0) { $0 + $1.count } == figures, "as many numbers as the objective said")
        var column = parts + 1 + part * figures
        for array in arrays {
            try keep(array, at: column)
            column += array.count
        }
    }

    /// Keeps the norm of the present step's gradients, one f32, and ends the step.
    func endStep(number: Int, norm: NDArray, learningRate: Double, tokens: Int) throws {
        try keep(norm, at: parts)
        pending.append(Pending(number: number, learningRate: learningRate, tokens: tokens))
    }

    private func keep(_ array: NDArray, at column: Int) throws {
        precondition(!isFull, "results must be read before the next step")
        let count = array.count
        let place = numbers.sliced(0, pending.count..<pending.count + 1).sliced(1, column..<column + count)
        try array.reshaped([1, count]).copyBytes(to: place)
    }

    /// The steps since the last call, in order. Waits for the device.
    ///
    /// - Throws: what went wrong on the device in any of these steps.
    func read() throws -> [Learner.Step] {
        defer { pending = [] }
        if pending.isEmpty { return [] }
        let values = try numbers.sliced(0, 0..<pending.count).hostValues()
        let columns = numbers.shape[1]
        return pending.enumerated().map { row, step in
            let own = Array(values[row * columns..<(row + 1) * columns])
            let sums = (0..<figures).map { figure in
                (0..<parts).reduce(0) { $0 + own[parts + 1 + $1 * figures + figure] }
            }
            return Learner.Step(
                number: step.number, loss: own[..<parts].reduce(0, +), gradientNorm: own[parts],
                learningRate: step.learningRate, tokens: step.tokens, figureSums: sums)
        }
    }
}
