import Foundation
import LigerCatalogue
import LigerKernels
import LigerLosses
import LigerRuntime
import Synchronization
import TestSupport
import Testing
import Tile
import TileGPU
import TilePTX

/// NVIDIA's assembler, if this machine has it: `LIGER_PTXAS`, or the Python environment's.
private enum Assembler {
    static let path: String? = {
        let environment = ProcessInfo.processInfo.environment
        if let given = environment["LIGER_PTXAS"] { return given }
        guard let python = environment["LIGER_PYTHON"] else { return nil }
        let root = URL(filePath: python).deletingLastPathComponent().deletingLastPathComponent()
        let files = FileManager.default.enumerator(
            at: root.appending(path: "lib"), includingPropertiesForKeys: nil)
        while let file = files?.nextObject() as? URL {
            if file.lastPathComponent == "ptxas" && file.path().contains("nvidia") { return file.path() }
        }
        return nil
    }()

    static let isRequired = ProcessInfo.processInfo.environment["CI"] == "true"

    /// What was said of each text: operations share kernels, and each is assembled once.
    private static let known = Mutex<[String: String]>([:])

    /// What `ptxas -v` says of each of some modules; a failure is recorded with its text.
    static func reports(_ modules: [PTXModule]) throws -> [String] {
        let known = known.withLock { $0 }
        let new = Dictionary(grouping: modules.filter { known[$0.text] == nil }, by: \.architecture)
        for (architecture, modules) in new { try assemble(modules, architecture) }
        return self.known.withLock { known in modules.map { known[$0.text] ?? "" } }
    }

    /// By one start of it, as that takes as long as a short kernel.
    private static func assemble(_ modules: [PTXModule], _ architecture: String) throws {
        let entries = modules.indices.map { "\(modules[$0].entry)_\($0)" }
        let text = try run(zip(modules, entries).map(renamed), architecture)
        // What is said of an entry follows its name; remarks name it.
        let parts = text.components(separatedBy: "Compiling entry function ")
        let lines = text.split(separator: "\n")
        known.withLock { known in
            for (module, entry) in zip(modules, entries) {
                let own = parts.filter { $0.hasPrefix("'\(entry)'") }
                known[module.text] = (own + lines.filter { $0.contains("'\(entry)'") }.map(String.init))
                    .joined(separator: "\n")
            }
        }
    }

    private static func renamed(_ module: PTXModule, _ entry: String) -> String {
        module.text.replacing(".entry \(module.entry)(", with: ".entry \(entry)(", maxReplacements: 1)
    }

    private static func run(_ texts: [String], _ architecture: String) throws -> String {
        let folder = try TemporaryFolder()
        defer { withExtendedLifetime(folder) {} }
        let files = try texts.enumerated().map { i, text in
            let file = folder.file("\(i).ptx")
            try Data(text.utf8).write(to: file)
            return file.path
        }
        let process = Process()
        process.executableURL = URL(filePath: try #require(path))
        process.arguments = ["-v", "-arch=\(architecture)"] + files + ["-o", "/dev/null"]
        let pipe = Pipe()
        process.standardError = pipe
        process.standardOutput = pipe
        try process.run()
        let text = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "for \(architecture): \(text)")
        return text
    }
}

@Suite struct PTXTests {
    /// Every kernel, once, at lengths that fill vectors, at two that do not, at one that shared memory holds and at one
    /// that it does not; with logits as a GPU stores them.
    private func kernels(_ entry: CatalogueEntry) throws -> [any TileKernel] {
        var seen: Set<String> = []
        return try [
            (4096, DType.bf16), (1000, .f16), (33, .f32), (128, .f32), (20_001, .f16), (32_768, .bf16),
            (262_144, .bf16),
        ]
        .flatMap { columns, dtype in
            try LaunchRecorder.kernels {
                try LogitStorage.$isAsOnGPU.withValue(true) {
                    _ = try entry.check(CheckCase(rows: 2, columns: columns, dtype: dtype, seed: 1))
                }
            }
        }
        .filter { seen.insert("\($0)").inserted }
    }

    /// - Parameter isOneBlockEnough: what the runtime says where the assembler spills for the sake of more.
    private func module(
        _ kernel: any TileKernel, _ target: Target, isOneBlockEnough: Bool = false, isShifted: Bool = false
    ) throws -> (PTXModule, ThreadFunction) {
        let function = try TileFunction.trace(kernel)
        let layouts = function.views.map { view in
            let isRow = isShifted && view.rank > 1
            return GPULayout(
                hasUnitStride: true, isAligned: !isRow, hasWholeVectors: !isShifted, isShifted: isRow)
        }
        var schedule = GPUSchedule(function, layouts: layouts, capability: target.capability)
        if isOneBlockEnough { schedule.minimumBlocks = 1 }
        let threads = try ThreadFunction(
            function, layouts: layouts, schedule: schedule, sharedLimit: target.sharedBytes)
        #expect(threads.sharedBytes <= target.sharedBytes, "\(function.name) for \(target)")
        return (PTXModule(threads, target: target), threads)
    }

    /// Of a module of this length the driver was seen to take close to 100 ms.
    private static let mostLines = 1800
    /// Of a product with an epilogue, of half for whole blocks of columns and half for a cut one: 300 ms.
    private static let mostLinesOfProduct = 3600

    @Test(
        .enabled(if: Assembler.path != nil || Assembler.isRequired, "not checked: no ptxas on this machine"),
        arguments: Catalogue.entries.map(\.name))
    func assembles(operation: String) throws {
        let entry = try #require(Catalogue.entry(operation))
        let kernels = try kernels(entry)
        for target in Target.all {
            try expectShortAndWithoutSpills(kernels.filter { try target.takes($0) }, target)
        }
    }

    /// Experts whose sizes fill the widest tiles, and some of inner sizes that do not.
    @Test(
        .enabled(if: Assembler.path != nil || Assembler.isRequired, "not checked: no ptxas on this machine"),
        arguments: [(2048, 768), (256, 192), (128, 320)], [DType.bf16, .f16])
    func assemblesExperts(sizes: (hidden: Int, inner: Int), dtype: DType) throws {
        let (hidden, inner) = sizes
        func array(_ shape: Int...) throws -> NDArray { try NDArray.zeros(shape, dtype: dtype) }
        let kernels = try LaunchRecorder.kernels {
            let x = try array(1, hidden), rows = try ExpertRows([0, 1], experts: 1)
            let weights = Experts.Weights(
                gateUp: try array(1, 2 * inner, hidden), down: try array(1, hidden, inner),
                choices: try NDArray.zeros([1, 2]))
            let gates = try Experts.forward(x, weights, rows, keepsGates: true).gates
            _ = try Experts.backward(dy: x, x: x, gates: #require(gates), weights, rows)
            // As the trainer sums gradients.
            let terms = try Experts.terms(
                dy: x, x: x, gates: #require(gates), weights, rows, needs: [.gateUp, .down])
            for (term, like) in [(terms.dGateUp, weights.gateUp), (terms.dDown, weights.down)] {
                try term?.apply(into: NDArray.zeros(like.shape), accumulate: true)
            }
        }
        #expect(Set(kernels.map(\.name)).count == 7)
        try expectProductsWithoutSpills(kernels)
    }

    /// Of a linear layer's backward pass, at widths of tiles that their sizes fill and do not fill.
    @Test(
        .enabled(if: Assembler.path != nil || Assembler.isRequired, "not checked: no ptxas on this machine"),
        arguments: [(8192, 768), (33, 4096), (1024, 200)], [DType.bf16, .f32])
    func assemblesGradientProducts(sizes: (tokens: Int, hidden: Int), stored: DType) throws {
        func array(_ shape: Int..., dtype: DType = .bf16) throws -> NDArray {
            try NDArray.zeros(shape, dtype: dtype)
        }
        let (tokens, hidden) = sizes
        let kernels = try LaunchRecorder.kernels {
            let g = try array(tokens, 1), x = try array(tokens, hidden), w = try array(1, hidden)
            let (dx, dw) = (try array(tokens, hidden, dtype: stored), try array(1, hidden, dtype: stored))
            try GradientProducts.input(g, w, factors: try array(tokens, dtype: .f32), into: dx)
            try GradientProducts.input(g, w, factors: nil, into: dx)
            try GradientProducts.weight(g, x, into: dw, accumulate: false)
            try GradientProducts.weight(g, x, into: dw, accumulate: true)
        }
        #expect(kernels.count == 4)
        try expectProductsWithoutSpills(kernels)
    }

    /// Of scaled cross entropy, for blocks of classes that a tile fills and one that it does not.
    @Test(
        .enabled(if: Assembler.path != nil || Assembler.isRequired, "not checked: no ptxas on this machine"),
        arguments: [512, 300], [false, true])
    func assemblesScaledGradients(classes: Int, hasAll: Bool) throws {
        func array(_ shape: Int..., dtype: DType = .f32) throws -> NDArray {
            try NDArray.zeros(shape, dtype: dtype)
        }
        let kernels = try LaunchRecorder.kernels {
            try LogitStorage.$isAsOnGPU.withValue(true) {
                try LabelScores.$isForced.withValue(true) {
                    let head = LinearHead(
                        input: try array(1, 64, dtype: .bf16), weight: try array(classes, 64, dtype: .bf16))
                    let ones = try NDArray([1])
                    let found = FusedLinearScaledCrossEntropy.Result(
                        nll: ones, entropy: ones, maximum: ones, sumExp: ones)
                    let columns = try NDArray(
                        integers: [Int](repeating: -1, count: classes), dtype: .i32)
                    _ = try FusedLinearScaledCrossEntropy.backward(
                        head: head, labels: NDArray(integers: [0]), found,
                        upstream: .init(
                            nll: ones, entropy: hasAll ? ones : nil,
                            selected: hasAll ? (try array(1, 2), columns) : nil),
                        sequences: .init(temperature: 0.7, budgetBytes: 512))
                }
            }
        }
        let products = kernels.filter { "\($0)".contains("isWhole") && "\($0)".contains("hasSelected") }
        // Of 300 classes the last 44 have a narrower block.
        #expect(Set(products.map { "\($0)" }).count == (classes == 300 ? 2 : 1))
        try expectProductsWithoutSpills(products)
    }

    /// Of a layer whose classes three ranks share.
    @Test(
        .enabled(if: Assembler.path != nil || Assembler.isRequired, "not checked: no ptxas on this machine"),
        arguments: [512, 300])
    func assemblesSharedExponentials(classes: Int) throws {
        struct Alone: ClassRanks {
            var rank: Int { 1 }
            var count: Int { 3 }
            func gather(rows: NDArray) {}
        }
        let kernels = try LaunchRecorder.kernels {
            let layer = try ExponentialBlocks.Layer(
                NDArray.zeros([1, 64], dtype: .bf16), weight: NDArray.zeros([classes, 64], dtype: .bf16),
                labels: NDArray(integers: [0]), first: classes, options: LabelExponentials.Options())
            _ = try SharedExponentials.apply(
                layer, of: 3 * classes, into: NDArray.zeros([1, classes], dtype: .bf16), ranks: Alone())
        }
        let names = Set(kernels.map(\.name))
        for name in [
            "LabelLogits", "SharedLabelLogits", "ExponentialNumbers", "SharedOverflows", "SharedTotals",
        ] {
            #expect(names.contains(name), "\(names)")
        }
        try expectProductsWithoutSpills(kernels)
    }

    private func expectProductsWithoutSpills(_ kernels: [any TileKernel]) throws {
        let made = try kernels.map { try module($0, Target(capability: 90)) }
        for (kernel, (made, report)) in zip(kernels, zip(made, try Assembler.reports(made.map(\.0)))) {
            #expect(isWithoutSpills(report, made.1) && !report.contains("serialized"), "\(kernel): \(report)")
            let lines = made.0.text.split(separator: "\n").count
            #expect(lines < Self.mostLinesOfProduct, "\(kernel) has \(lines) lines")
        }
    }

    /// Rows of odd lengths that start at any address: in registers, in shared memory, and read in several passes.
    @Test(
        .enabled(if: Assembler.path != nil || Assembler.isRequired, "not checked: no ptxas on this machine"),
        arguments: ["CrossEntropy", "Softmax", "RMSNorm", "LayerNorm", "SwiGLU"], [80, 90])
    func assemblesRowsAtAnyAddress(operation: String, capability: Int) throws {
        let entry = try #require(Catalogue.entry(operation))
        for (columns, dtype) in [
            (4095, DType.bf16), (2001, .f16), (4097, .f32), (20_001, .f16), (50_257, .bf16), (262_141, .bf16),
        ] {
            let kernels = try LaunchRecorder.kernels {
                _ = try entry.check(CheckCase(rows: 2, columns: columns, dtype: dtype, seed: 1))
            }
            try expectShortAndWithoutSpills(kernels, Target(capability: capability), isShifted: true)
        }
    }

    private func isWithoutSpills(_ report: String, _ function: ThreadFunction) -> Bool {
        let isPlain = function.localBytes > 0 || report.contains(" 0 bytes stack frame")
        return isPlain && report.contains(" 0 bytes spill stores")
    }

    private func expectShortAndWithoutSpills(
        _ kernels: [any TileKernel], _ target: Target, isShifted: Bool = false
    ) throws {
        let made = try kernels.map { try module($0, target, isShifted: isShifted) }
        let reports = try Assembler.reports(made.map(\.0))
        for (kernel, (made, report)) in zip(kernels, zip(made, reports)) {
            if !isWithoutSpills(report, made.1) {
                let (again, function) = try module(
                    kernel, target, isOneBlockEnough: true, isShifted: isShifted)
                let report = try Assembler.reports([again])[0]
                #expect(isWithoutSpills(report, function), "\(kernel) for \(target): \(report)")
            }
            if target.capability != 90 { continue }
            let lines = made.0.text.split(separator: "\n").count
            let most = made.1.schedule.product == nil ? Self.mostLines : Self.mostLinesOfProduct
            #expect(lines < most, "\(kernel) for \(target) has \(lines) lines")
        }
    }

    /// x / Σx over rows that no registers hold: read for the sum, then once more.
    private struct Shares: TileKernel {
        let columns: Int

        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 2), c = p.range(columns)
            y[p.index, c] = x[p.index, c] / sum(x[p.index, c])
        }
    }

    /// The cache should keep what a later phase reads again, and not what the last one moves.
    @Test(arguments: [(262_144, 90, true), (4096, 90, false), (262_144, 80, false)])
    func marksWhatCachesShouldKeep(columns: Int, capability: Int, marks: Bool) throws {
        let (module, _) = try module(Shares(columns: columns), Target(capability: capability))
        let lines = module.text.split(separator: "\n")
        let endings = lines.filter { $0.contains("cache_hint") }.map {
            ($0.contains("ld.") ? "load " : "store ") + ($0.hasSuffix("%keep;") ? "keep" : "drop")
        }
        #expect(Set(endings) == (marks ? ["load keep", "load drop", "store drop"] : []))
    }

    /// Sums of columns with a step between them, over lanes along the rows.
    private struct SumsOfColumns: TileKernel {
        let step: Int

        func body(_ p: Program) {
            let x = p.input("x", .f32, rank: 2), y = p.output("y", .f32, rank: 1)
            let r = p.range(capacity: 64, limit: x.size(0))
            for column in 0..<8 {
                let c = p.index * 8 + column * step
                y[c] = sum(x[r, c])
            }
        }
    }

    /// One access loads contiguous columns; others, and arrays off 16 bytes, take one each.
    @Test(arguments: [(1, true, 4), (2, true, 1), (1, false, 1)])
    func loadsContiguousColumnsTogether(step: Int, isAligned: Bool, width: Int) throws {
        let function = try TileFunction.trace(SumsOfColumns(step: step))
        let layouts = function.views.map { _ in
            GPULayout(hasUnitStride: true, isAligned: isAligned, hasWholeVectors: true)
        }
        let module = PTXModule(
            try ThreadFunction(function, layouts: layouts), target: Target(capability: 90))
        let loads = module.text.split(separator: "\n").filter { $0.contains("ld.global.") }
        #expect(!loads.isEmpty && loads.allSatisfy { $0.contains(".v4.f32") == (width == 4) })
    }

    /// From sm_90 on a kernel waits for the one before it, and then lets the next one in, ahead of any access.
    @Test(arguments: Target.all) func waitsBeforeItTouchesMemory(target: Target) throws {
        let (module, _) = try module(SumsOfColumns(step: 1), target)
        let lines = module.text.split(separator: "\n")
        let order = ["griddepcontrol.wait;", "griddepcontrol.launch_dependents;", "ld.global", "st.global"]
            .map { word in lines.firstIndex { $0.contains(word) } }
        guard target.capability >= 90 else { return #expect(order[0] == nil && order[1] == nil) }
        let found = try order.map { try #require($0) }
        #expect(found[0] < found[1] && found[1] < found[2] && found[1] < found[3])
    }
}

extension Target {
    /// Whether it has what a kernel is made of: products of 16-bit matrices are written for one architecture.
    fileprivate func takes(_ kernel: any TileKernel) throws -> Bool {
        let function = try TileFunction.trace(kernel)
        return function.products.allSatisfy { multiplies && function.views[$0.a].dtype != .f32 }
    }
}
