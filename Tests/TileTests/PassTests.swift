import Testing
import Tile

private func kinds(_ function: TileFunction) -> [OperationKind] {
    var kinds: [OperationKind] = []
    function.body.forEachOperation { kinds.append($0.kind) }
    return kinds
}

private func recorded(_ sketch: @escaping @Sendable (Program) -> Void) throws -> TileFunction {
    try TileFunction.record(SketchKernel(0, sketch))
}

@Suite struct PassTests {
    @Test func foldsPositions() throws {
        var function = try recorded { p in
            let y = p.output("y", .f32, rank: 1)
            y[p.index * 1 + 0] = (p.index * 0).float
        }
        function.simplify()
        function.removeDeadCode()
        try function.verify(after: "simplification")
        #expect(!kinds(function).contains(.binary(.add)))
    }

    @Test func keepsNegativeZero() throws {
        var function = try recorded { p in
            let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
            y[0] = x[0] + 0
        }
        function.simplify()
        #expect(kinds(function).contains(.binary(.add)), "-0 + 0 is 0: not an identity")
    }

    @Test func removesRepetition() throws {
        var function = try recorded { p in
            let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 2)
            let c = p.range(8)
            y[p.index, c] = x[p.index, c] * sum(x[p.index, c]) + x[p.index, c]
        }
        function.removeCommonSubexpressions()
        function.removeDeadCode()
        try function.verify(after: "common-subexpression removal")
        #expect(kinds(function).count { if case .load = $0 { true } else { false } } == 1)
    }

    @Test func doesNotMergeLoadsAroundStores() throws {
        var function = try recorded { p in
            let x = p.update("x", .f32, rank: 1)
            let before = x[0]
            x[0] = before + 1
            x[1] = x[0]
        }
        function.removeCommonSubexpressions()
        #expect(kinds(function).count { if case .load = $0 { true } else { false } } == 2)
    }

    @Test func contractsProducts() throws {
        var function = try recorded { p in
            let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
            let v = x[p.range(8)]
            y[p.range(8)] = v * v + sum(v * v * v)
        }
        function.contractProducts()
        try function.verify(after: "contraction")
        #expect(kinds(function).contains(.multiplyAdd))
        #expect(kinds(function).contains(.reduce(.sumProduct)))
    }

    @Test func dropsWhatIsNotUsed() throws {
        var function = try recorded { p in
            let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
            _ = exp(x[p.range(8)])
            _ = p.loop(from: p.index, to: x.size(0), carrying: x[0]) { i, a in a + x[i] }
            y[0] = x[0]
        }
        function.removeDeadCode()
        try function.verify(after: "dead-code removal")
        #expect(!kinds(function).contains(.unary(.exp)) && !kinds(function).contains(.loop))
    }

    // Broken on purpose: the verifier must see each.
    @Test func verifierRejects() throws {
        let good = try recorded { p in
            let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
            y[p.range(8)] = x[p.range(8)] * x[0]
        }
        try good.verify(after: "tracing")
        var undefined = good
        undefined.body.operations.reverse()
        var twice = good
        twice.body.operations.append(twice.body.operations[0])
        var mixed = good
        let product = good.body.operations.firstIndex { $0.kind == .binary(.multiply) }
        mixed.body.operations[try #require(product)].kind = .binary(.and)
        var view = good
        let store = try #require(good.body.operations.firstIndex { $0.isStore })
        view.body.operations[store].kind = .store(view: 0, axis: 0)
        for (broken, rule) in [
            (undefined, "used before"), (twice, "defined twice"), (mixed, "no and of f32"), (view, "input"),
        ] {
            let error = #expect(throws: VerificationError.self) { try broken.verify(after: "a test") }
            #expect(error?.rule.contains(rule) ?? false, "\(String(describing: error))")
        }
    }
}
