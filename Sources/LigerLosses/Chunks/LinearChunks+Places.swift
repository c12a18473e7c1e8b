import LigerKernels
import LigerRuntime
import Tile

extension LinearChunks {
    /// `runExponentials` of all tokens at once.
    func runPlaced(
        _ plan: ChunkPlan, _ places: GradientPlaces, labels: NDArray, options: LabelExponentials.Options,
        needs: LinearNeeds,
        _ loss: (_ found: LabelExponentials.Result, _ factors: NDArray, _ pieces: [Range<Int>]) throws -> Void
    ) throws -> Gradients {
        let tokens = input.shape[0]
        let dWeight = try NDArray(empty: weight.shape, dtype: weight.dtype, device: weight.device)
        let pieces = try places.arrays(in: dWeight, tokens: tokens)
        let found = try LabelExponentials.apply(
            input, weight: weight, labels: labels, into: pieces, options: options)
        let factors = try NDArray(empty: [tokens], device: input.device)
        try loss(found, factors, [0..<tokens])
        let dInput = needs.contains(.input) ? try inputGradient(pieces, factors, rows: plan.productRows) : nil
        let weighted = try WeightedRows(
            rows: tokens, hidden: input.shape[1], dtype: weight.dtype, on: input.device
        ).apply(input, scales: factors)
        // From the last on: each frees where the one before it goes.
        for piece in pieces.reversed() {
            try WeightGradient.multiply(
                piece.e, weighted, into: dWeight.sliced(0, piece.classes), accumulate: false)
        }
        return Gradients(
            input: dInput, weight: dWeight, bias: nil,
            scales: LinearScales(input: nil, weight: nil, bias: nil))
    }

    /// factors · e W, summed over pieces in fp32, some rows at a time, and rounded once.
    private func inputGradient(
        _ pieces: [LabelExponentials.Piece], _ factors: NDArray, rows: Int
    ) throws -> NDArray {
        let (tokens, hidden) = (input.shape[0], input.shape[1])
        let dInput = try NDArray(empty: input.shape, dtype: inputType, device: input.device)
        let sums = try NDArray(empty: [rows, hidden], device: input.device)
        let rounding = try GradientRounding(
            rows: tokens, dtype: inputType, isApart: false, on: input.device)
        for start in stride(from: 0, to: tokens, by: rows) {
            let range = start..<min(start + rows, tokens), part = sums.sliced(0, 0..<range.count)
            for (number, piece) in pieces.enumerated() {
                try add(
                    piece.e.sliced(0, range), weight.sliced(0, piece.classes), to: part,
                    accumulate: number > 0)
            }
            try rounding.apply(
                part, into: dInput.sliced(0, range), rows: range, factor: factors.sliced(0, range))
        }
        return dInput
    }
}
