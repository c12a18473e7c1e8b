import LigerKernels
import LigerRuntime
import Tile

/// A row of learned numbers for each position, added to the token's.
public final class PositionEmbedding {
    /// [positions, hidden size].
    public let weight: Parameter
    /// The positions of the last batch without shared rows.
    private var known: (batch: Int, range: Range<Int>, positions: NDArray)?

    package init(_ scope: ParameterScope, positions: Int, hiddenSize: Int) {
        weight = scope.weight([positions, hiddenSize])
    }

    /// [batch * length, hidden size], as x.
    func adding(to x: Tensor, _ context: SequenceContext) throws -> Tensor {
        let device = x.value.device
        let positions =
            try context.documents?.positions ?? positions(context.batch, context.positions, device)
        return try x.adding(x.tape.tensor(of: weight).rows(positions))
    }

    private func positions(_ batch: Int, _ range: Range<Int>, _ device: Device) throws -> NDArray {
        if let known, known.batch == batch, known.range == range, known.positions.device === device {
            return known.positions
        }
        // Where only memory is measured, values are of no use.
        let positions =
            try device.measured == nil
            ? NDArray(integers: (0..<batch).flatMap { _ in range }, dtype: .i32, device: device)
            : NDArray(empty: [batch * range.count], dtype: .i32, device: device)
        known = (batch, range, positions)
        return positions
    }
}
