extension ModulatedRMSNorm {
    /// The formulas in Double over plain arrays, row by row: what the kernels are checked against. Casting is not
    /// modelled; a check allows for the storage type's rounding.
    package enum Reference {
        package struct Gradient {
            package var dx, dweight, dscale, dshift: [Double]
        }

        package static func forward(
            _ x: [Double], weight: [Double]?, scale: [Double], shift: [Double]?, columns: Int, eps: Double,
            offset: Double
        ) -> [Double] {
            let n = RMSNorm.Reference.forward(x, weight: weight, columns: columns, eps: eps, offset: offset).y
            return n.indices.map { i in
                let place = modulation(of: i, x.count, scale.count, columns)
                return n[i] * (1 + scale[place]) + (shift?[place] ?? 0)
            }
        }

        package static func backward(
            dy: [Double], x: [Double], weight: [Double]?, scale: [Double], columns: Int, eps: Double,
            offset: Double
        ) -> Gradient {
            let n = RMSNorm.Reference.forward(x, weight: weight, columns: columns, eps: eps, offset: offset).y
            let place = { modulation(of: $0, x.count, scale.count, columns) }
            let inner = RMSNorm.Reference.backward(
                dy: dy.indices.map { dy[$0] * (1 + scale[place($0)]) }, x: x, weight: weight,
                columns: columns, eps: eps, offset: offset)
            let zeros = scale.map { _ in 0.0 }
            var gradient = Gradient(dx: inner.dx, dweight: inner.dw, dscale: zeros, dshift: zeros)
            for i in dy.indices {
                gradient.dscale[place(i)] += dy[i] * n[i]
                gradient.dshift[place(i)] += dy[i]
            }
            return gradient
        }

        /// Where the scale of element i is.
        private static func modulation(of i: Int, _ count: Int, _ scales: Int, _ columns: Int) -> Int {
            let share = count / scales
            return i / columns / share * columns + i % columns
        }
    }
}
