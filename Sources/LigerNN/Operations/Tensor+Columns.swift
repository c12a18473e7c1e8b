import LigerRuntime

extension Tensor {
    /// This tensor [rows, columns] cut into parts of so many columns each, which must add up to all.
    package func columns(_ widths: [Int]) throws -> [Tensor] {
        precondition(widths.reduce(0, +) == shape[1], "parts of all columns")
        var start = 0
        return try widths.map { width in
            defer { start += width }
            return try columns(start..<(start + width))
        }
    }

    private func columns(_ range: Range<Int>) throws -> Tensor {
        let (shape, dtype, device) = (shape, dtype, value.device)
        let cut = { (whole: NDArray) in
            let part = try NDArray(empty: [shape[0], range.count], dtype: dtype, device: device)
            try Elementwise.copyRows(whole.sliced(1, range), into: part)
            return part
        }
        let again = recipe(applying: cut)
        return tape.record(try cut(value), from: [self], recipe: again) { upstream in
            let whole = try NDArray.zeros(shape, dtype: dtype, device: device)
            try Elementwise.copyRows(upstream.array, into: whole.sliced(1, range))
            return [.array(whole)]
        }
    }
}
