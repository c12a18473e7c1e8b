extension TileFunction {
    /// Runs the passes that every device shares, in order, verifying after each.
    ///
    /// Afterwards: constants are folded, no operation is computed twice in one region, products meet their
    /// sums in one rounding, and nothing unused is left.
    package mutating func optimise() throws {
        let passes: [(name: String, run: (inout TileFunction) -> Void)] = [
            ("simplification", { $0.simplify() }),
            ("common-subexpression removal", { $0.removeCommonSubexpressions() }),
            ("multiply-add contraction", { $0.contractProducts() }),
            ("dead-code removal", { $0.removeDeadCode() }),
        ]
        for pass in passes {
            pass.run(&self)
            try verify(after: pass.name)
        }
    }
}
