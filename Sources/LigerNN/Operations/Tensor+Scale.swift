import LigerRuntime

extension Tensor {
    /// Each element times a number, rounded once; itself for 1.
    package func scaled(by factor: Float) throws -> Tensor {
        if factor == 1 { return self }
        let scale = { (x: NDArray) in try Elementary.mapped(x, .scaled(by: factor)) }
        let again = recipe(applying: scale)
        return tape.record(try scale(value), from: [self], recipe: again) { upstream in
            [.array(try scale(upstream.array))]
        }
    }
}
