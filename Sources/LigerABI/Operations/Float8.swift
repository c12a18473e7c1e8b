import LigerKernels
import LigerRuntime
import Tile

extension OperationFamily {
    /// Factors of products in 8 bits.
    static let float8 = [
        OperationFamily(
            Float8Matrix.self,
            Operation("fp8_quantise") { s in
                let x = s.input("x"), type = s.choice("type", default: Float8Type.e4m3)
                let scaling = s.choice("scaling", default: Float8Matrix.Scaling.tensor)
                let rows = s.flag("rows", default: true), columns = s.flag("columns")
                let (isOne, isEach) = (
                    Condition.is(scaling, .tensor), Condition.is(scaling, Float8Matrix.Scaling.row)
                )
                s.output("y", [.all(of: x)], .always(.u8), when: .on(rows))
                s.output("scale", [.constant(1)], .f32, when: isOne)
                s.output("row_scale", [.size(0, of: x)], .f32, when: isEach, .on(rows))
                s.output(
                    "transposed", [.size(1, of: x), .size(0, of: x)], .always(.u8), when: .on(columns))
                s.output("column_scale", [.size(1, of: x)], .f32, when: isEach, .on(columns))
                return { a in
                    let r = try Float8Matrix.quantise(
                        a[x], to: a[type].dtype, scaling: a[scaling], rows: a[rows], columns: a[columns])
                    let isOne = a[scaling] == .tensor
                    return [
                        r.values?.asBytes, isOne ? r.scale : nil, isOne ? nil : r.scale,
                        r.transposed?.asBytes, r.transposedScale,
                    ]
                }
            })
    ]
}

/// The types of 8-bit floats, as words.
private enum Float8Type: String, CaseIterable, Sendable {
    case e4m3, e5m2

    var dtype: DType { self == .e4m3 ? .e4m3 : .e5m2 }
}
