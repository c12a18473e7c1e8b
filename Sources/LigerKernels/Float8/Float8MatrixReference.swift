package import Tile

extension Float8Matrix {
    /// The formulas on the host, element by element; the maximum of all.
    package static func reference(_ x: [Float], to type: DType) -> (values: [Float], scale: Float) {
        let form: Float8 = type == .e4m3 ? .e4m3 : .e5m2, most: Float = type == .e4m3 ? 448 : 57_344
        let largest = Swift.max(x.lazy.map(\.magnitude).max() ?? 0, 1e-30)
        let factor = most / largest
        return (x.map { form.value(form.bits($0 * factor)) }, largest / most)
    }
}
