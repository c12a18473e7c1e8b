package import LigerKernels
internal import LigerNN
package import LigerRuntime
internal import Tile

/// The launches of a step up to its gradients, captured once and handed to the GPU all at once ever after: for
/// small models the processor is slower to launch kernels than the GPU to run them.
///
/// The same kernels with the same arguments, so results have the same bits. Batches are written to the arrays
/// that the captured work reads; losses, norm and gradients appear where they did the first time.
final class StepGraph {
    /// Ids and labels of each part of a batch.
    let inputs: [BatchArrays]
    /// What the captured work leaves behind.
    let outputs: StepOutputs
    private let graph: any CapturedWork
    private let parameters: [Parameter]
    private let gradients: [NDArray?]

    /// Captures `work`, which is not done now.
    init(
        _ parameters: [Parameter], _ inputs: [BatchArrays], device: Device,
        _ work: ([BatchArrays]) throws -> StepOutputs
    ) throws {
        var outputs: StepOutputs?
        graph = try device.capture { outputs = try work(inputs) }
        guard let outputs else { preconditionFailure("capturing does the work or throws") }
        self.inputs = inputs
        self.outputs = outputs
        self.parameters = parameters
        gradients = parameters.map(\.gradient)
    }

    /// Does the work for what `inputs` hold; parameters get their gradients.
    func launch() throws {
        try graph.launch()
        for (parameter, gradient) in zip(parameters, gradients) { parameter.gradient = gradient }
    }
}

/// One part of a step's batch on the device.
package struct BatchArrays {
    /// [rows, length], i32.
    package let ids: NDArray
    /// [rows, length], i64.
    package let labels: NDArray
    /// Of judged answers, which are the first rows: 1 for a good one, i32.
    package let preferences: NDArray?
    /// Of rated answers: [rows], f32.
    package let advantages: NDArray?
    /// Where examples begin that share rows; nil where each row is one.
    package let documents: DocumentBorders?
    /// [rows, length], i32: 0 for padding, else 1; nil where nobody asks or there is none.
    package let counted: NDArray?

    /// - Parameters:
    ///   - keepingPadding: whether ranks must have arrays of one shape.
    ///   - counting: whether the model asks which tokens are padding.
    /// - Throws: `RuntimeError` when memory runs out.
    package init(
        _ batch: TokenBatch, on device: Device, keepingPadding: Bool = false, counting: Bool = false
    ) throws {
        // A GPU wants batches of few shapes; the processor takes any, and so no padding.
        let keepsPadding = device.isGPU || keepingPadding
        let batch = keepsPadding ? batch : batch.withoutPadding
        try self.init(
            ids: batch.inputs, labels: batch.labels, [batch.rows, batch.sequenceLength],
            batch.borders(on: device), counted: counting && keepsPadding ? batch.counted : nil,
            preferences: batch.preferences.map {
                try NDArray(copying: $0, [$0.count], dtype: .i32, device: device)
            }, advantages: batch.advantages.map { try NDArray($0, device: device) }, on: device)
    }

    /// Rows as they are.
    ///
    /// - Parameter shape: [rows, length].
    package init(
        ids: [Int32], labels: [Int64], _ shape: [Int], _ documents: DocumentBorders? = nil,
        counted: [Int32]? = nil, preferences: NDArray? = nil, advantages: NDArray? = nil, on device: Device
    ) throws {
        self.init(
            ids: try NDArray(copying: ids, shape, dtype: .i32, device: device),
            labels: try NDArray(copying: labels, shape, dtype: .i64, device: device),
            preferences: preferences, advantages: advantages, documents: documents,
            counted: try counted.map { try NDArray(copying: $0, shape, dtype: .i32, device: device) })
    }

    private init(
        ids: NDArray, labels: NDArray, preferences: NDArray? = nil, advantages: NDArray? = nil,
        documents: DocumentBorders? = nil, counted: NDArray? = nil
    ) {
        (self.ids, self.labels, self.preferences) = (ids, labels, preferences)
        self.advantages = advantages
        (self.documents, self.counted) = (documents, counted)
    }

    /// Memory for the largest part that the options allow, which holds nothing.
    ///
    /// - Parameter counting: whether the model asks which tokens are padding.
    static func unset(
        _ options: TrainingOptions, on device: Device, counting: Bool
    ) throws -> BatchArrays {
        let isJudged = options.objective.kind.form == .judged
        let isRated = options.objective.kind.form == .rated
        let shape = [options.rowsPerPass * (isJudged ? 2 : 1), options.sequenceLength]
        return BatchArrays(
            ids: try NDArray(empty: shape, dtype: .i32, device: device),
            labels: try NDArray(empty: shape, dtype: .i64, device: device),
            preferences: isJudged
                ? try NDArray(empty: [options.rowsPerPass], dtype: .i32, device: device) : nil,
            advantages: isRated ? try NDArray(empty: [options.rowsPerPass], device: device) : nil,
            documents: options.packsRows
                ? try DocumentBorders(
                    starts: Array(repeating: [0], count: shape[0]), length: shape[1], device: device) : nil,
            counted: counting && options.objective.kind == .sft
                ? try NDArray(empty: shape, dtype: .i32, device: device) : nil)
    }

    /// Some rows' ids and labels.
    func rows(_ range: Range<Int>) -> BatchArrays {
        BatchArrays(ids: ids.sliced(0, range), labels: labels.sliced(0, range))
    }

    /// Overwrites them with another batch of the same shape.
    func write(_ batch: TokenBatch) throws {
        try batch.inputs.withUnsafeBytes { try ids.write($0) }
        try batch.labels.withUnsafeBytes { try labels.write($0) }
        try batch.counted?.withUnsafeBytes { try counted?.write($0) }
        try batch.preferences?.withUnsafeBytes { try preferences?.write($0) }
        try batch.advantages?.withUnsafeBytes { try advantages?.write($0) }
    }
}

/// What forward and backward passes over all parts of a batch come to, in addition to gradients.
struct StepOutputs {
    /// One f32 a part.
    let losses: [NDArray]
    /// The objective's numbers, part by part.
    let figures: [[NDArray]]
    /// Of all gradients, before clipping: one f32.
    let norm: NDArray
}
