import CVector
import Tile

extension PlanBuilder {
    /// The lines that a product takes, with scratch memory for the work.
    mutating func makeContraction(_ contraction: Contraction, _ operation: Operation) -> Int {
        let piece = ContractionAccess.piece
        let part = operation.operands.dropFirst(2).map { Int(scalarPlace($0).offset) }
        contractions.append(
            ContractionAccess(
                a: matrix(contraction.a, contraction.contractedA, operation.operands[0]),
                b: matrix(contraction.b, contraction.contractedB, operation.operands[1]),
                part: contraction.isPart ? .init(startOfA: part[0], startOfB: part[1], count: part[2]) : nil,
                pieceOfA: reserve(piece * 4), pieceOfB: reserve(piece * 4),
                sums: reserve(block * MemoryLayout<cv_state>.stride)))
        return contractions.count - 1
    }

    private mutating func matrix(
        _ view: Int, _ contracted: Int, _ position: ValueID
    ) -> ContractionAccess.Matrix {
        let dtype = function.views[view].dtype
        return ContractionAccess.Matrix(
            view: view, contracted: contracted, elementBytes: dtype.byteCount,
            position: Int(scalarPlace(position).offset),
            load: unsafeBitCast(cv_get_load(dtype.vectorStorage), to: UnsafeRawPointer?.self))
    }
}
