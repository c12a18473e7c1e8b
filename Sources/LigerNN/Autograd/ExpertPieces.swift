package import LigerRuntime

/// A tensor of a checkpoint that is a parameter, or some rows of it.
package struct StoredPiece {
    /// Its name in the checkpoint.
    package let name: String
    /// Sizes of its dimensions.
    package let shape: [Int]
    /// Pieces of the parameter before it, all of this shape.
    let place: Int

    /// Its elements among the parameter's.
    package var elements: Range<Int> {
        let count = shape.reduce(1, *)
        return place * count..<(place + 1) * count
    }

    /// Its part of an array like the parameter, sharing the buffer.
    package func of(_ array: NDArray) -> NDArray {
        array.flattened.sliced(0, elements).reshaped(shape)
    }
}

/// How checkpoints store experts' matrices: expert by expert, as `PATH.7.up_proj.weight`.
struct ExpertPieces {
    let path: String
    /// Names of an expert's matrices, which share its rows equally.
    let parts: [String]
    /// Experts of a token over all.
    let usedShare: Double

    /// - Parameter shape: [experts, rows, columns].
    func list(_ shape: [Int]) -> [StoredPiece] {
        let (rows, columns) = (shape[1] / parts.count, shape[2])
        return (0..<shape[0]).flatMap { expert in
            parts.enumerated().map { place, part in
                StoredPiece(
                    name: "\(path).\(expert).\(part).weight", shape: [rows, columns],
                    place: expert * parts.count + place)
            }
        }
    }
}
