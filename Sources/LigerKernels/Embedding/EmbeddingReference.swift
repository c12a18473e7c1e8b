extension Embedding {
    /// The gradient's formula in Double over plain arrays: what the kernels are checked against.
    package enum Reference {
        package static func backward(
            dy: [Double], ids: [Int], vocabulary: Int, columns: Int
        ) -> [Double] {
            var dTable = [Double](repeating: 0, count: vocabulary * columns)
            for (token, id) in ids.enumerated() {
                for c in 0..<columns { dTable[id * columns + c] += dy[token * columns + c] }
            }
            return dTable
        }
    }
}
