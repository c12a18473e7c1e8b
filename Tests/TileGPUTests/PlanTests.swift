import LigerCatalogue
import LigerLosses
import LigerRuntime
import Testing
import Tile
import TileGPU
import TilePTX

@Suite struct PlanTests {
    private func plan(
        _ function: TileFunction, isAligned: Bool = true, _ schedule: (GPUSchedule) -> GPUSchedule = { $0 }
    ) throws -> GPUPlan {
        let layouts = function.views.map { _ in
            GPULayout(hasUnitStride: true, isAligned: isAligned, hasWholeVectors: true)
        }
        let target = Target(capability: 90)
        let rule = GPUSchedule(function, layouts: layouts, capability: target.capability)
        return try GPUPlan(
            function, layouts: layouts, schedule: schedule(rule),
            limits: GPULimits(sharedBytes: target.sharedBytes))
    }

    private func lines(_ plan: GPUPlan, _ pass: String) throws -> [Substring] {
        let pass = try #require(GPUPlan.passes.first { $0.name == pass })
        return plan.text(pass).split(separator: "\n").dropFirst().map { $0.drop { $0 == " " } }
    }

    /// A pass reads only what stands above it here.
    @Test func listsPassesInOrder() {
        #expect(
            GPUPlan.passes.map(\.name)
                == ["lengths", "phases", "folds", "memory", "accesses", "tiles", "cluster", "product"])
        #expect(GPUPlan.passes.allSatisfy { !$0.summary.isEmpty })
    }

    /// Every pass of every kernel, alone and in its place, with each access and each region of memory accounted for: by
    /// the rule; in chunks, with prefetched rows, in a cluster; and with rows of loops staged.
    @Test(
        arguments: Catalogue.entries.map(\.name),
        [
            nil,
            GPUSchedule(
                threads: 128, blocks: 2, programsPerBlock: 1, vector: 8, residentLanes: 8,
                prefetchedChunks: 2),
            GPUSchedule(threads: 64, programsPerBlock: 1, vector: 8, residentLanes: 64, stages: 3),
        ])
    func printsEveryKernel(operation: String, schedule: GPUSchedule?) throws {
        let entry = try #require(Catalogue.entry(operation))
        for kernel in try entry.kernels {
            let function = try TileFunction.trace(kernel)
            let plan = try plan(function) { rule in
                // A product has a schedule of its own.
                guard var forced = schedule, rule.product == nil else { return rule }
                forced.vector = rule.vector
                return forced
            }
            for pass in GPUPlan.passes {
                #expect(plan.description.contains(plan.text(pass)))
                #expect(plan.text(pass).split(separator: "\n").count > 1, "\(kernel): \(pass.name)")
            }
            #expect(try lines(plan, "lengths").count == Swift.max(1, function.extents.count))
            try expectAccesses(plan, function)
            try expectRegions(plan)
        }
    }

    /// Each load and store of lanes has an access in some phase, and nothing else has.
    private func expectAccesses(_ plan: GPUPlan, _ function: TileFunction) throws {
        var moving: Set<String> = []
        function.body.forEachOperation { operation in
            switch operation.kind {
            case .load(_, _?), .store(_, _?), .gather: moving.insert(function.line(operation))
            default: break
            }
        }
        let planned = try lines(plan, "accesses").filter { $0.hasPrefix("phase") }
        for line in moving { #expect(planned.contains { $0.contains(": \(line): ") }, "\(line)") }
        #expect(planned.allSatisfy { text in moving.contains { text.contains(": \($0): ") } })
    }

    /// Regions of shared memory are inside it and do not overlap.
    private func expectRegions(_ plan: GPUPlan) throws {
        let memory = try lines(plan, "memory")
        let total = try #require(memory.last?.split(separator: " ").first.flatMap { Int($0) })
        var end = 0
        for line in memory where line.hasPrefix("shared ") {
            let bounds = line.split(separator: ":")[0].split(separator: " ").compactMap { Int($0) }
            #expect(bounds.count == 2 && end <= bounds[0] && bounds[0] < bounds[1], "\(line)")
            end = bounds[1]
        }
        #expect(end <= total)
    }

    /// x / sqrt(sum(x)) for a program's row, or for all rows in a loop; of e^x where that is costly to repeat.
    private struct Shares: TileKernel {
        let columns: Int
        var hasLoop = false
        var isCostly = false

        func body(_ p: Program) {
            let x = p.input("x", .bf16, rank: 2), y = p.output("y", .bf16, rank: 2), c = p.range(columns)
            func share(_ row: Tile<Int>) {
                let value = isCostly ? exp(x[row, c]) : x[row, c]
                y[row, c] = value * rsqrt(sum(value))
            }
            if hasLoop { p.loop(from: x.size(0) * 0, to: x.size(0)) { share($0) } } else { share(p.index) }
        }
    }

    /// Rows that registers hold, that shared memory holds, and that neither does.
    @Test(arguments: [
        (Shares(columns: 4096), "accesses", "16 bytes an access, two lanes a register"),
        (Shares(columns: 4096), "tiles", "in registers, two lanes in each"),
        (Shares(columns: 4096), "folds", "then 4 warps through shared memory"),
        (Shares(columns: 32_768), "accesses", "prefetched to shared 0, beyond it 16 bytes an access"),
        (Shares(columns: 32_768), "memory", "shared 0 ..< 65536: row"),
        (Shares(columns: 262_144), "accesses", "16 bytes an access, kept in the cache"),
        (Shares(columns: 262_144), "accesses", "16 bytes an access, dropped from the cache"),
        (Shares(columns: 262_144), "phases", "from the last chunk to the first"),
        (Shares(columns: 262_144), "tiles", "rematerialised by each phase"),
        (Shares(columns: 32_768, isCostly: true), "tiles", "in shared memory"),
        (Shares(columns: 262_144, isCostly: true), "tiles", "in local memory"),
        (Shares(columns: 4096, hasLoop: true), "memory", "3 slots of 8192"),
        (Shares(columns: 4096, hasLoop: true), "memory", "two places that alternate"),
        (Shares(columns: 4096, hasLoop: true), "tiles", "in loop 0's slot, read again by each phase"),
    ])
    private func decides(kernel: Shares, pass: String, text: String) throws {
        let found = try lines(try plan(TileFunction.trace(kernel)), pass)
        #expect(found.contains { $0.contains(text) }, "\(found.joined(separator: "\n"))")
    }

    /// A cluster's wait comes before a loop that exchanges, else at the first exchange.
    @Test(arguments: [(false, "waits at the exchange of phase 0"), (true, "waits before loop 0")])
    func waitsOnceForPeers(hasLoop: Bool, text: String) throws {
        let function = try TileFunction.trace(Shares(columns: 4096, hasLoop: hasLoop))
        let plan = try plan(function) { _ in
            GPUSchedule(threads: 128, blocks: 2, programsPerBlock: 1, vector: 8)
        }
        #expect(try lines(plan, "cluster") == [text[...]])
    }
}
