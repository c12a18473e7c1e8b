extension Tensor {
    /// Each element times a number, rounded once; itself for 1.
    package func scaled(by factor: Float) throws -> Tensor {
        if factor == 1 { return self }
        return tape.record(try Elementary.mapped(value, .scaled(by: factor)), from: [self]) { upstream in
            [.array(try Elementary.mapped(upstream.array, .scaled(by: factor)))]
        }
    }
}
