import Testing
import Tile

/// A kernel given as a closure, for tests of the compiler.
struct SketchKernel: TileKernel {
    let sketch: @Sendable (Program) -> Void
    let key: Int

    init(_ key: Int = 0, _ sketch: @escaping @Sendable (Program) -> Void) {
        self.sketch = sketch
        self.key = key
    }

    func body(_ p: Program) { sketch(p) }
    static func == (a: Self, b: Self) -> Bool { a.key == b.key }
    func hash(into hasher: inout Hasher) { hasher.combine(key) }
}

/// The mistakes that tracing a sketch reports.
private func mistakes(_ sketch: @escaping @Sendable (Program) -> Void) -> [TileDiagnostic] {
    do {
        _ = try TileFunction.trace(SketchKernel(0, sketch))
        return []
    } catch let error as TileError {
        return error.diagnostics
    } catch {
        Issue.record("unexpected \(error)")
        return []
    }
}

@Suite struct DiagnosticTests {
    @Test func lengthsThatDiffer() throws {
        let found = mistakes { p in
            let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
            let a = x[p.range(4)]
            let b = x[p.range(5)]
            y[p.range(4)] = a + b
        }
        let mistake = try #require(found.first)
        #expect(mistake.message.contains("4 lanes") && mistake.message.contains("5 lanes"))
        #expect(mistake.message.contains("DiagnosticTests.swift"))
        #expect(mistake.location.file.hasSuffix("DiagnosticTests.swift"))
    }

    @Test func locationIsTheAuthorsLine() throws {
        let line = #line + 3
        let found = mistakes { p in
            let x = p.input("x", .f32, rank: 2)
            _ = x[p.index]
        }
        let mistake = try #require(found.first)
        #expect(mistake.location.line == line)
        #expect(mistake.message.contains("rank 2") && mistake.message.contains("1 indices"))
    }

    @Test func everyMistakeIsReportedAtOnce() {
        let found = mistakes { p in
            let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
            x[p.index] = y[p.index]
        }
        #expect(found.count == 2)
        #expect(found.contains { $0.message.contains("is an output and cannot be read") })
        #expect(found.contains { $0.message.contains("is an input and cannot be written") })
    }

    // One sketch per rule of the language, and what its message must say.
    @Test func rules() {
        let rules: [(String, @Sendable (Program) -> Void)] = [
            ("rank 5", { p in _ = p.input("x", .f32, rank: 5) as View<Float> }),
            ("cannot be read as", { p in _ = p.input("x", .i64, rank: 1) as View<Float> }),
            (
                "view x is declared twice",
                { p in
                    let x = p.input("x", .f32, rank: 1), y = p.output("x", .f32, rank: 1)
                    y[p.index] = x[p.index]
                }
            ),
            ("scalar s is declared twice", { p in _ = p.scalar("s") + p.scalar("s") }),
            ("a range of 0", { p in _ = p.range(0) }),
            (
                "span many positions",
                { p in
                    let x = p.input("x", .f32, rank: 2)
                    _ = x[p.range(3), p.range(3)]
                }
            ),
            ("a reduction needs a tile", { p in _ = sum(p.scalar("s")) }),
            (
                "must be a scalar",
                { p in
                    let x = p.input("x", .f32, rank: 1)
                    p.when(x[p.range(3)] > 0) {}
                }
            ),
            (
                "changes its length",
                { p in
                    let x = p.input("x", .f32, rank: 1)
                    _ = p.loop(from: p.index, to: x.size(0), carrying: x[0]) { i, _ in x[p.range(3) + i] }
                }
            ),
            (
                "may collide",
                { p in
                    let y = p.output("y", .f32, rank: 1)
                    y[p.range(3).index] = p.scalar("s")
                }
            ),
            (
                "of another length than its index",
                { p in
                    let x = p.input("x", .f32, rank: 1), y = p.output("y", .f32, rank: 1)
                    y[p.range(4)] = x[p.range(3)]
                }
            ),
        ]
        for (message, sketch) in rules {
            let found = mistakes(sketch)
            #expect(found.contains { $0.message.contains(message) }, "\(message): \(found)")
            #expect(found.allSatisfy { !$0.advice.isEmpty })
        }
    }
}
