/// Sizes around the executor's vectors (16 lanes), batches (512) and blocks of lanes, and 1, 2, 3, which
/// catch lanes that do not exist.
package let columnGrid = [1, 2, 3, 15, 16, 17, 127, 128, 129, 511, 512, 513, 1025, 2048]

/// The scale of sums: their largest magnitude, or that of a term where terms cancel.
package func largest(_ sums: [Double], _ term: Double) -> Double {
    sums.reduce(term) { Swift.max($0, $1.magnitude) }
}
