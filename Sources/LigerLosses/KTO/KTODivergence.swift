public import LigerRuntime
import Tile

extension FusedLinearKTO {
    /// An estimate of how far a model has gone from its reference, for `forward`:
    ///
    ///     z = max(0, mean over answers of l - l')
    ///
    /// of answers that belong to other prompts, as Ethayarajh et al. take it. No gradient goes through it.
    ///
    /// - Parameters:
    ///   - head: its input is [B, T, H].
    ///   - labels: [B, T], i64 or i32.
    ///   - reference: its side of the same answers.
    ///   - options: as for `forward`.
    /// - Returns: [1], f32, on the device.
    /// - Throws: as `forward`.
    /// - Cost: one product of tokens x vocabulary x hidden, and one for a reference's layer.
    public static func divergence(
        head: LinearHead, labels: NDArray, reference: FusedLinearPreference.ReferenceModel,
        options: Options = Options()
    ) throws -> NDArray {
        try divergence(head: head, labels: labels, reference: reference, options: options) { _ in }
    }

    /// The same where these answers are a part of those that it is estimated of.
    ///
    /// - Parameter addParts: replaces an array, f32, by its sum over all parts.
    package static func divergence(
        head: LinearHead, labels: NDArray, reference: FusedLinearPreference.ReferenceModel,
        options: Options, addParts: (NDArray) throws -> Void
    ) throws -> NDArray {
        guard labels.shape.count == 2, labels.shape[0] > 0, labels.shape[1] > 0 else {
            throw RuntimeError("labels have shape \(labels.shape). Give [B, T]")
        }
        let answers = { (side: FusedLinearPreference.ReferenceModel) in
            try side.answers(labels: labels, averages: options.averages, options.sequences)
        }
        let (own, other) = (try answers(.layer(head)), try answers(reference))
        let sums = try NDArray(empty: [2], device: labels.device)
        try KTODivergenceSums().launch(programs: 1, ["own": own, "other": other, "sums": sums])
        try addParts(sums)
        let divergence = try NDArray(empty: [1], device: labels.device)
        try KTODivergenceKernel().launch(programs: 1, ["sums": sums, "divergence": divergence])
        return divergence
    }
}

/// The sum of l - l', and how many answers there are; one program.
struct KTODivergenceSums: TileKernel {
    func body(_ p: Program) {
        let own = p.input("own", .f32, rank: 1), other = p.input("other", .f32, rank: 1)
        let sums = p.output("sums", .f32, rank: 1)
        let zero = p.index * 0, count = own.size(0)
        let total = p.loop(from: zero, to: count, carrying: zero.float) { i, total in
            total + (own[i] - other[i])
        }
        sums[0] = total
        sums[1] = count.float
    }
}

/// Bounded once all parts are added: the mean may be above 0 where a part's is not. One program.
struct KTODivergenceKernel: TileKernel {
    func body(_ p: Program) {
        let sums = p.input("sums", .f32, rank: 1), divergence = p.output("divergence", .f32, rank: 1)
        divergence[0] = maximum(sums[0] / sums[1], 0)
    }
}
